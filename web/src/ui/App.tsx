import { enter } from "../state/actions";
import { gone, locked } from "../state/connection";
import { empty, library, loaded } from "../state/library";
import { dialog } from "../state/messages";
import { opened } from "../state/player";
import { answer, hits, phase } from "../state/search";
import { words } from "../state/settings";
import { ChipBar } from "./ChipBar";
import { ExportDialog } from "./ExportDialog";
import { FirstVisit, IndexingBar, Reading } from "./FirstVisit";
import { CardMenu, Live, Note, Tip } from "./Floating";
import { Footer } from "./Footer";
import { Header } from "./Header";
import { HelpDialog } from "./HelpDialog";
import { LocateDialog } from "./LocateDialog";
import { Overview } from "./Overview";
import { Player } from "./Player";
import { ProblemsDialog } from "./ProblemsDialog";
import { RemoveDialog } from "./RemoveDialog";
import { Results } from "./Results";
import { SettingsDrawer } from "./SettingsDrawer";
import { Gone, TokenForm } from "./Trouble";

export function App() {
  return (
    <>
      {gone.value && <Gone />}
      <Page />
      {dialog.value === "settings" && <SettingsDrawer />}
      {dialog.value === "help" && <HelpDialog />}
      {dialog.value === "problems" && <ProblemsDialog />}
      {dialog.value === "export" && <ExportDialog />}
      {dialog.value === "remove" && <RemoveDialog />}
      {dialog.value === "locate" && <LocateDialog />}
      <Tip />
      <Note />
      <Live />
    </>
  );
}

/** The top is the same element all the time, so that nobody who is quick loses the focus when the library is there. */
function Page() {
  const bare = locked.value || !loaded.value || empty.value || !library.value?.num_videos;
  return (
    <>
      <Header bare={bare} />
      {bare ? <Lone /> : <Library />}
    </>
  );
}

function Lone() {
  if (locked.value) {
    return (
      <main class="lone">
        <TokenForm onIn={() => void enter()} />
      </main>
    );
  }
  if (!loaded.value) return <main class="lone" aria-busy="true" />;
  return (
    <>
      <IndexingBar />
      <main class="lone">{empty.value ? <FirstVisit /> : <Reading />}</main>
      <Footer />
    </>
  );
}

function Library() {
  const w = words.value;
  const searched = answer.value !== null || phase.value === "busy" || phase.value === "failed";
  const watching = opened.value !== null;
  const side = watching || (searched && (phase.value === "busy" || hits.value.length > 0));
  return (
    <>
      <IndexingBar />
      <ChipBar />
      <div class={side ? "split" : "whole"}>
        <main class="results" aria-label={w.results}>
          {searched ? <Results /> : <Overview />}
          <CardMenu />
        </main>
        {side && (
          <aside class={watching ? "player" : "player idle"} aria-label={w.player}>
            <Player />
          </aside>
        )}
      </div>
      <Footer />
    </>
  );
}
