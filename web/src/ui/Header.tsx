// The top: where one asks. A sentence, a second one that comes after it, a picture, or a clip.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { sequence } from "../lib/query";
import { goHome, goLibrary, inLibrary, searchImage, searchText } from "../state/actions";
import { library, shelf } from "../state/library";
import { dialog, say } from "../state/messages";
import { isFilm, trace } from "../state/origin";
import { draft } from "../state/search";
import { filtersOpen, words } from "../state/settings";
import { Filters } from "./Filters";
import { Icon, Mark } from "./Icon";
import { SavedButton } from "./Saved";
import { SearchBox } from "./SearchBox";

const thenOpen = signal(false);
const BOUNDS = [null, 10, 30, 60, 300];

export function Header({ bare = false }: { bare?: boolean }) {
  const w = words.value;
  return (
    <header class="top">
      <a
        class="brand"
        href="./"
        aria-label={w.home}
        onClick={(event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey) return;
          event.preventDefault();
          goHome();
        }}
      >
        <Mark />
        <span>prvr</span>
      </a>
      {bare ? <span class="grow" /> : <Asking />}
      <Switch />
      {!bare && <SavedButton />}
      {!bare && (
        <button
          type="button"
          class="tool wide edge"
          aria-pressed={inLibrary.value}
          aria-label={w.library}
          title={w.library}
          onClick={goLibrary}
        >
          <Icon name="library" />
          <span>{w.library}</span>
        </button>
      )}
      <button
        type="button"
        class="tool"
        aria-label={w.settings}
        title={w.settings}
        onClick={() => (dialog.value = "settings")}
      >
        <Icon name="settings" />
      </button>
      <button type="button" class="tool" aria-label={w.help} title={w.help} onClick={() => (dialog.value = "help")}>
        <Icon name="help" />
      </button>
      {!bare && thenOpen.value && <Then />}
      {!bare && filtersOpen.value && <Filters />}
    </header>
  );
}

/** To another library of the same server: each has an address of its own. */
function Switch() {
  const w = words.value;
  if (shelf.value.length < 2) return null;
  return (
    <select
      class="switch"
      aria-label={w.switchLibrary}
      onChange={(event) => {
        location.href = event.currentTarget.value;
      }}
    >
      {shelf.value.map(({ name, url, here }) => (
        <option key={url} value={url} selected={here}>
          {name}
        </option>
      ))}
    </select>
  );
}

function Asking() {
  const w = words.value;
  const file = useRef<HTMLInputElement>(null);
  useFiles();
  return (
    <>
      <SearchBox />
      <button
        type="button"
        class="tool wide"
        aria-label={w.thenLabel}
        title={w.thenLabel}
        aria-expanded={thenOpen.value}
        onClick={() => (thenOpen.value = !thenOpen.value)}
      >
        <Icon name="then" />
        <span>{w.thenAdd}</span>
      </button>
      <button
        type="button"
        class="tool wide"
        aria-label={w.filters}
        title={w.filters}
        aria-expanded={filtersOpen.value}
        onClick={() => (filtersOpen.value = !filtersOpen.value)}
      >
        <Icon name="filter" />
        <span>{w.filters}</span>
      </button>
      {library.value?.media && (
        <button
          type="button"
          class="tool wide"
          aria-label={w.imageLabel}
          title={w.imageLabel}
          onClick={() => file.current?.click()}
        >
          <Icon name="image" />
          <span>{w.image}</span>
        </button>
      )}
      <input
        ref={file}
        type="file"
        hidden
        accept="image/jpeg,image/png,image/webp,video/*,.mkv,.ts"
        onChange={(event) => {
          const picked = event.currentTarget.files?.[0];
          event.currentTarget.value = "";
          if (picked) take([picked]);
        }}
      />
    </>
  );
}

/** Whether there is a question in some files: a picture is searched by, and of a clip it is said where it comes from. */
function take(files: Iterable<File>): boolean {
  for (const file of files) {
    if (isFilm(file)) {
      void trace(file, file.name);
      return true;
    }
    if (!/^image\/(jpeg|png|webp)$/.test(file.type)) continue;
    if (library.peek()?.pictures) searchImage(file, file.name || words.peek().image);
    else say(words.peek().noPictures);
    return true;
  }
  return false;
}

/** What is pasted into the page or dropped on it is a question too. */
function useFiles(): void {
  useEffect(() => {
    const hear = (files: FileList | undefined, event: Event): void => {
      if (take(files ?? [])) event.preventDefault();
    };
    const onPaste = (event: ClipboardEvent): void => hear(event.clipboardData?.files, event);
    const onDrop = (event: DragEvent): void => hear(event.dataTransfer?.files, event);
    const onOver = (event: DragEvent): void => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    };
    window.addEventListener("paste", onPaste);
    window.addEventListener("drop", onDrop);
    window.addEventListener("dragover", onOver);
    return () => {
      window.removeEventListener("paste", onPaste);
      window.removeEventListener("drop", onDrop);
      window.removeEventListener("dragover", onOver);
    };
  }, []);
}

/** The second line: what happens after the first, and how soon. It becomes part of the sentence in the box. */
function Then() {
  const w = words.value;
  const [next, setNext] = useState("");
  const [within, setWithin] = useState<number | null>(null);
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.focus(), []);
  return (
    <form
      class="then"
      aria-label={w.thenLabel}
      onKeyDown={(event) => {
        if (event.key === "Escape") thenOpen.value = false;
      }}
      onSubmit={(event) => {
        event.preventDefault();
        if (!next.trim() || !draft.value.trim()) return;
        thenOpen.value = false;
        searchText(sequence(draft.value, next, within));
      }}
    >
      <input
        ref={field}
        type="text"
        aria-label={w.thenField}
        placeholder={w.thenField}
        value={next}
        onInput={(event) => setNext(event.currentTarget.value)}
      />
      <label>
        {w.thenWithin}
        <select
          value={within ?? ""}
          onChange={(event) => setWithin(event.currentTarget.value ? Number(event.currentTarget.value) : null)}
        >
          {BOUNDS.map((bound) => (
            <option key={bound ?? 0} value={bound ?? ""}>
              {bound === null ? w.anyTime : bound < 60 ? `${bound} s` : `${bound / 60} min`}
            </option>
          ))}
        </select>
      </label>
      <button type="submit" class="go" disabled={!next.trim() || !draft.value.trim()}>
        {w.thenGo}
      </button>
    </form>
  );
}
