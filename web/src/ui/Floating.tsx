// What floats above the page: the menu of a result, the tip at a strip, a note, and what screen readers are told.
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Hit } from "../api";
import { playerName } from "../lib/text";
import { bestOf, copyLink, notThis, openIn, place, playHit, revealVideo, searchLike } from "../state/actions";
import { canAdd, library } from "../state/library";
import { announcement, askWhere, copy, dialog, leaving, menu, note, tip } from "../state/messages";
import { asked } from "../state/search";
import { words } from "../state/settings";
import { Icon, type IconName } from "./Icon";

interface Entry {
  icon: IconName;
  label: string;
  run: () => void;
}

function entriesFor(hit: Hit): Entry[] {
  const w = words.value;
  const folder = library.value?.folder;
  const link = (): void => copyLink({ ...place(), video: hit.video_id, time: hit.start, moment: null });
  const entries: Entry[] = [
    { icon: "alike", label: w.moreLike, run: () => searchLike(bestOf(hit), hit.name) },
    { icon: "link", label: w.copyLink, run: link },
  ];
  if (asked.value?.kind === "text") {
    entries.splice(1, 0, { icon: "aside", label: w.notThisAction, run: () => notThis(bestOf(hit)) });
  }
  if (hit.state !== "missing") {
    const run = (): void => {
      playHit(hit);
      dialog.value = "export";
    };
    entries.push({ icon: "export", label: w.exportDots, run });
  }
  if (hit.path) {
    const path = folder && !hit.path.startsWith("/") ? `${folder}/${hit.path}` : hit.path;
    entries.push({ icon: "path", label: w.copyPath, run: () => void copy(path, w.pathCopied) });
  }
  if (library.value?.can_reveal && hit.state !== "missing" && hit.state !== "features_only") {
    entries.push({ icon: "folder", label: w.reveal, run: () => revealVideo(hit.video_id) });
  }
  if (hit.state !== "missing" && hit.state !== "features_only") {
    for (const name of library.value?.players ?? [])
      entries.push({
        icon: "window",
        label: w.openIn(playerName(name)),
        run: () => openIn(hit.video_id, name, hit.start),
      });
  }
  if (canAdd.value && hit.state === "missing") {
    entries.push({ icon: "folder", label: w.locate, run: () => askWhere(hit.video_id, hit.name) });
  }
  const askToRemove = (): void => {
    leaving.value = hit;
    dialog.value = "remove";
  };
  entries.push({ icon: "remove", label: w.removeFromIndex, run: askToRemove });
  return entries;
}

/** One menu for all results, at the button that opened it. */
export function CardMenu() {
  const shown = menu.value;
  const list = useRef<HTMLUListElement>(null);
  const close = (focus: boolean): void => {
    if (focus) shown?.from.focus({ preventScroll: true });
    menu.value = null;
  };
  useLayoutEffect(() => {
    const element = list.current;
    if (!element || !shown) return;
    const { anchor } = shown;
    const [wide, tall] = [element.offsetWidth, element.offsetHeight];
    const below = anchor.bottom + tall + 8 < window.innerHeight;
    element.style.top = `${below ? anchor.bottom + 4 : Math.max(4, anchor.top - tall - 4)}px`;
    element.style.left = `${Math.min(Math.max(4, anchor.right - wide), window.innerWidth - wide - 4)}px`;
    element.querySelector("button")?.focus();
    const away = (event: Event): void => {
      if (event.type === "scroll" || !element.contains(event.target as Node)) close(false);
    };
    const stop = new AbortController();
    for (const name of ["pointerdown", "scroll"])
      window.addEventListener(name, away, { capture: true, signal: stop.signal });
    return () => stop.abort();
  }, [shown]);
  if (!shown) return null;
  const onKey = (event: KeyboardEvent): void => {
    const buttons = [...(list.current?.querySelectorAll("button") ?? [])];
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + buttons.length, Home: 0, End: buttons.length - 1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close(true);
    else if (to !== undefined) buttons[to % buttons.length]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <ul ref={list} class="menu" role="menu" aria-label={words.value.more(shown.hit.name)} onKeyDown={onKey}>
      {entriesFor(shown.hit).map(({ icon, label, run }) => (
        <li key={label} role="none">
          <button
            type="button"
            role="menuitem"
            tabIndex={-1}
            onClick={() => {
              close(true);
              run();
            }}
          >
            <Icon name={icon} />
            {label}
          </button>
        </li>
      ))}
    </ul>
  );
}

/** Above a strip: the time under the pointer, how relevant it is, and what is seen there. */
export function Tip() {
  const shown = tip.value;
  const element = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const box = element.current;
    if (!box || !shown) return;
    const half = box.offsetWidth / 2;
    box.style.left = `${Math.min(Math.max(half + 4, shown.x), window.innerWidth - half - 4)}px`;
    box.style.top = `${shown.y - box.offsetHeight - 8 < 0 ? shown.y + 56 : shown.y - box.offsetHeight - 8}px`;
  }, [shown]);
  if (!shown) return null;
  return (
    <div class="tip" ref={element} aria-hidden="true">
      {shown.image && <img src={shown.image} alt="" width="160" height="90" />}
      <span>{shown.text}</span>
    </div>
  );
}

export function Note() {
  const shown = note.value;
  return (
    <div class="notes" role="status">
      {shown && (
        <div class="note">
          <span>{shown.text}</span>
          {shown.action && (
            <button
              type="button"
              class="plain"
              onClick={() => {
                note.value = null;
                shown.action?.run();
              }}
            >
              {shown.action.label}
            </button>
          )}
          <button type="button" class="quiet" aria-label={words.value.dismiss} onClick={() => (note.value = null)}>
            <Icon name="close" />
          </button>
        </div>
      )}
    </div>
  );
}

export function Live() {
  const element = useRef<HTMLDivElement>(null);
  const text = announcement.value;
  useEffect(() => {
    if (element.current) element.current.textContent = text;
  }, [text]);
  return <div ref={element} class="unseen" aria-live="polite" />;
}
