// One key, one thing; none of them while somebody types, and all of them can be switched off.
import { copyLink, moreLikeTarget, notThisTarget, playHit, step } from "./state/actions";
import { dialog, menu } from "./state/messages";
import * as player from "./state/player";
import { visible } from "./state/search";
import { change, settings } from "./state/settings";
import { focused } from "./ui/Card";
import { toggleFull } from "./ui/Player";
import { box } from "./ui/SearchBox";

const FRAME = 1 / 25;

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target.closest("input:not([type=radio],[type=checkbox]), textarea, select") !== null;

/** Things that Space already means something to. */
const isPressable = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target.closest("button, summary, label") !== null;

/** The link of another result gets the focus, and with it the place on the page. */
function walk(by: number): void {
  const hits = visible.value;
  if (!hits.length) return;
  const here = document.activeElement?.closest<HTMLElement>(".card")?.dataset["video"];
  const at = hits.findIndex((hit) => hit.video_id === (here ?? focused.value));
  const to = here === undefined ? Math.max(0, at) : Math.min(hits.length - 1, Math.max(0, at + by));
  reach(hits[to]?.video_id);
}

function reach(id: string | undefined, tries = 5): void {
  if (id === undefined) return;
  focused.value = id;
  const card = document.querySelector<HTMLElement>(`.card[data-video="${CSS.escape(id)}"]`);
  if (!card && tries > 0) requestAnimationFrame(() => reach(id, tries - 1)); // its part of the list is being drawn
  card?.querySelector("a")?.focus({ preventScroll: true });
  card?.scrollIntoView({ block: "nearest" });
}

function openNth(nth: number): void {
  const hit = visible.value[nth - 1];
  if (!hit) return;
  reach(hit.video_id);
  playHit(hit);
}

const withVideo = (run: () => void) => (): void => {
  if (player.opened.value) run();
};

const KEYS: Record<string, () => void> = {
  j: () => walk(1),
  k: () => walk(-1),
  n: withVideo(() => step(1)),
  p: withVideo(() => step(-1)),
  ",": withVideo(() => player.seek(player.now.value - FRAME)),
  ".": withVideo(() => player.seek(player.now.value + FRAME)),
  "[": withVideo(() => player.mark("start")),
  "]": withVideo(() => player.mark("end")),
  l: withVideo(player.toggleLoop),
  m: withVideo(moreLikeTarget),
  x: withVideo(notThisTarget),
  e: withVideo(() => {
    if (player.target.value) dialog.value = "export";
  }),
  c: withVideo(() => copyLink()),
  f: withVideo(toggleFull),
  g: () => change({ view: settings.value.view === "list" ? "grid" : "list" }),
  "?": () => {
    dialog.value = "help";
  },
  "/": () => {
    box.element?.focus();
    box.element?.select();
  },
};

function arrows(event: KeyboardEvent): boolean {
  const inList = event.target instanceof HTMLElement && event.target.closest(".cards") !== null;
  if ((event.key === "ArrowDown" || event.key === "ArrowUp") && inList) {
    walk(event.key === "ArrowDown" ? 1 : -1);
    return true;
  }
  if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && player.opened.value) {
    const far = event.shiftKey ? 10 : 1;
    player.seek(player.now.value + (event.key === "ArrowRight" ? far : -far));
    return true;
  }
  return false;
}

function act(event: KeyboardEvent): boolean {
  if (arrows(event)) return true;
  if (!settings.value.singleKeys) return false;
  if (event.key === " ") {
    if (!player.opened.value || isPressable(event.target)) return false;
    player.toggle();
    return true;
  }
  if (/^[1-9]$/.test(event.key)) {
    openNth(Number(event.key));
    return true;
  }
  const run = KEYS[event.key];
  run?.();
  return run !== undefined;
}

export function listen(): void {
  window.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (dialog.value || menu.value || isTyping(event.target)) return;
    if (event.target instanceof HTMLElement && event.target.closest("[role=slider]") && event.key.startsWith("Arrow"))
      return;
    if (event.key === "Escape") player.range.value = null;
    else if (act(event)) event.preventDefault();
  });
}
