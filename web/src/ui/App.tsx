import { enter, inLibrary } from "../state/actions";
import { gone, locked } from "../state/connection";
import { empty, library, loaded } from "../state/library";
import { dialog } from "../state/messages";
import { opened } from "../state/player";
import { answer, lines, phase } from "../state/search";
import { words } from "../state/settings";
import { AddFolder } from "./AddFolder";
import { ChipBar } from "./ChipBar";
import { ExportDialog } from "./ExportDialog";
import { FirstVisit, IndexingBar, Reading } from "./FirstVisit";
import { CardMenu, Live, Note, Tip } from "./Floating";
import { Footer } from "./Footer";
import { Header } from "./Header";
import { HelpDialog } from "./HelpDialog";
import { LibraryView } from "./LibraryView";
import { LocateDialog } from "./LocateDialog";
import { OriginDialog } from "./OriginDialog";
import { Overview } from "./Overview";
import { Player } from "./Player";
import { ProblemsDialog } from "./ProblemsDialog";
import { RemoveDialog } from "./RemoveDialog";
import { Results } from "./Results";
import { SavedDialog } from "./Saved";
import { SettingsDrawer } from "./SettingsDrawer";
import { Gone, TokenForm } from "./Trouble";

export function App() {
  return (
    <>
      <a class="skip" href="#main">
        {words.value.skip}
      </a>
      {gone.value && <Gone />}
      <Page />
      {dialog.value === "settings" && <SettingsDrawer />}
      {dialog.value === "help" && <HelpDialog />}
      {dialog.value === "problems" && <ProblemsDialog />}
      {dialog.value === "export" && <ExportDialog />}
      {dialog.value === "remove" && <RemoveDialog />}
      {dialog.value === "locate" && <LocateDialog />}
      {dialog.value === "origin" && <OriginDialog />}
      {dialog.value === "saved" && <SavedDialog />}
      {dialog.value === "add" && <AddFolder />}
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
      {bare ? <Lone /> : <Rooms />}
    </>
  );
}

function Lone() {
  if (locked.value) {
    return (
      <main id="main" tabIndex={-1} class="lone">
        <TokenForm onIn={() => void enter()} />
      </main>
    );
  }
  if (!loaded.value) return <main id="main" tabIndex={-1} class="lone" aria-busy="true" />;
  return (
    <>
      <IndexingBar />
      <main id="main" tabIndex={-1} class="lone">
        {empty.value ? <FirstVisit /> : <Reading />}
      </main>
      <Footer />
    </>
  );
}

function Rooms() {
  const w = words.value;
  const searched = answer.value !== null || phase.value === "busy" || phase.value === "failed";
  const watching = opened.value !== null;
  const side = watching || (searched && (phase.value === "busy" || lines.value.above.length > 0));
  return (
    <>
      <IndexingBar />
      <ChipBar />
      <div class={side ? "split" : "whole"}>
        <main id="main" tabIndex={-1} class="results" aria-label={inLibrary.value && !searched ? w.library : w.results}>
          {searched ? <Results /> : inLibrary.value ? <LibraryView /> : <Overview />}
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
