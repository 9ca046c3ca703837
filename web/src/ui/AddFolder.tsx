// A folder of the server's machine, chosen by going through its folders or typed in, and read into the library.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, type Place } from "../api";
import { lastFolder, library, readFolder } from "../state/library";
import { dialog, reasonOf } from "../state/messages";
import { chosenModel } from "../state/models";
import { words } from "../state/settings";
import { Dialog } from "./Dialog";
import { Icon } from "./Icon";
import { PathForm, useTyped } from "./PathForm";

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
  const typed = useTyped();
  const [place, setPlace] = useState<Place | null>(null);
  const list = useRef<HTMLUListElement>(null);
  const turn = useRef(0); // of two folders asked for, the later one counts
  const go = async (to?: string): Promise<void> => {
    typed.setWrong("");
    const asked = (turn.current += 1);
    const strokes = typed.strokes.current;
    try {
      const found = await api.places(to);
      if (turn.current !== asked) return;
      setPlace(found);
      if (typed.strokes.current === strokes) typed.setPath(found.path);
      list.current?.scrollTo(0, 0);
    } catch (error) {
      if (turn.current === asked) typed.setWrong(reasonOf(error));
    }
  };
  useEffect(() => void go(lastFolder.value ?? undefined), []);
  const send = async (path: string): Promise<void> => {
    await readFolder(path, false, library.value ? null : chosenModel.value);
    onSent?.();
  };
  return (
    <PathForm
      label={w.folderLabel}
      hint={place ? w.videosHere(place.num_videos) : w.folderHint}
      action={w.index}
      typed={typed}
      send={send}
    >
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
    </PathForm>
  );
}
