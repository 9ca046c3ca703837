// A folder of the server's machine, chosen by going through its folders or typed in, and read into the library.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, type Place } from "../api";
import { lastFolder, library, readFolder } from "../state/library";
import { dialog, reasonOf } from "../state/messages";
import { chosenModel } from "../state/models";
import { words } from "../state/settings";
import { Dialog } from "./Dialog";
import { Icon } from "./Icon";
import { Prose } from "./Prose";

const nameOf = (path: string): string => path.split("/").filter(Boolean).at(-1) ?? path;

export function AddFolder() {
  const w = words.value;
  return (
    <Dialog title={w.addFolder} cancel>
      <Picker onSent={() => (dialog.value = null)} />
    </Dialog>
  );
}

/** One level of folders at a time; the path above can be typed as well. */
export function Picker({ onSent }: { onSent?: () => void }) {
  const w = words.value;
  const [place, setPlace] = useState<Place | null>(null);
  const [path, setPath] = useState("");
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  const list = useRef<HTMLUListElement>(null);
  const go = async (to?: string): Promise<void> => {
    setWrong("");
    try {
      const found = await api.places(to);
      setPlace(found);
      setPath(found.path);
      list.current?.scrollTo(0, 0);
    } catch (error) {
      setWrong(reasonOf(error));
    }
  };
  useEffect(() => void go(lastFolder.value ?? undefined), []);
  const send = async (): Promise<void> => {
    setBusy(true);
    setWrong("");
    try {
      await readFolder(path.trim(), false, library.value ? null : chosenModel.value);
      onSent?.();
    } catch (error) {
      setWrong(reasonOf(error));
    }
    setBusy(false);
  };
  return (
    <form
      class="folder-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (path.trim() && !busy) void send();
      }}
    >
      <label for="path">{w.folderLabel}</label>
      <div class="row">
        <input
          id="path"
          type="text"
          value={path}
          spellcheck={false}
          autocomplete="off"
          aria-describedby={wrong ? "path-wrong" : "path-hint"}
          aria-invalid={wrong !== ""}
          onInput={(event) => setPath(event.currentTarget.value)}
        />
        <button type="submit" class="go" disabled={busy || !path.trim()}>
          {w.index}
        </button>
      </div>
      {wrong ? (
        <p id="path-wrong" class="wrong" role="alert">
          <Prose text={wrong} />
        </p>
      ) : (
        <p id="path-hint" class="hint">
          {place ? w.videosHere(place.num_videos) : w.folderHint}
        </p>
      )}
      {place && (
        <ul class="places" ref={list} aria-label={w.foldersIn(nameOf(place.path))}>
          {place.parent !== null && (
            <li>
              <button type="button" onClick={() => void go(place.parent ?? undefined)}>
                <Icon name="up" />
                {w.folderUp(nameOf(place.parent))}
              </button>
            </li>
          )}
          {place.parent === null &&
            place.roots
              .filter((root) => root !== place.path)
              .map((root) => (
                <li key={root}>
                  <button type="button" onClick={() => void go(root)}>
                    <Icon name="folder" />
                    <bdi>{root}</bdi>
                  </button>
                </li>
              ))}
          {place.folders.map((folder) => (
            <li key={folder}>
              <button type="button" onClick={() => void go(folder)}>
                <Icon name="folder" />
                <bdi>{nameOf(folder)}</bdi>
              </button>
            </li>
          ))}
          {!place.folders.length && <li class="hint">{w.noFoldersHere}</li>}
          {place.has_more && <li class="hint">{w.moreFolders}</li>}
        </ul>
      )}
    </form>
  );
}
