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

function Page() {
  if (locked.value) {
    return (
      <>
        <Header bare />
        <main class="lone">
          <TokenForm onIn={() => void enter()} />
        </main>
      </>
    );
  }
  if (!loaded.value) {
    return (
      <>
        <Header bare />
        <main class="lone" aria-busy="true" />
      </>
    );
  }
  if (empty.value || !library.value?.num_videos) {
    return (
      <>
        <Header bare />
        <IndexingBar />
        <main class="lone">{empty.value ? <FirstVisit /> : <Reading />}</main>
        <Footer />
      </>
    );
  }
  return <Library />;
}

function Library() {
  const w = words.value;
  const searched = answer.value !== null || phase.value === "busy" || phase.value === "failed";
  const watching = opened.value !== null;
  const side = watching || (searched && (phase.value === "busy" || hits.value.length > 0));
  return (
    <>
      <Header />
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
