// Search while somebody types: where the setting says so, what stands in the box is asked when the typing pauses.
import { announce, searchLive } from "./actions";
import { askedText, draft, dropLive, failure, settled } from "./search";
import { settings } from "./settings";

const PAUSE_MS = 400;
const SETTLE_MS = 1000; // without another letter, until an answer is announced
const SHORTEST = 3;

let timer = 0;
let answered = false; // live, and not yet announced
let notBefore = 0; // the server asked us to wait until then

/** The text in the box has changed. */
export function typed(): void {
  clearTimeout(timer);
  if (!settings.value.live) return;
  dropLive();
  settled.value = false;
  timer = window.setTimeout(() => void ask(), Math.max(PAUSE_MS, notBefore - performance.now()));
}

/** Whoever typed has left the box: Enter takes the focus from it too. */
export function stop(): void {
  clearTimeout(timer);
  timer = 0;
  if (!settled.value) settle();
  answered = false;
}

async function ask(): Promise<void> {
  const q = draft.value.trim();
  const mine = timer;
  if ([...q].length >= SHORTEST && q !== askedText.value) {
    if (await searchLive(q)) answered = true;
    if (timer !== mine) {
      if (settled.value) settle(); // the box was left meanwhile
      return;
    }
    const wait = failure.value?.retryAfter;
    if (wait) {
      notBefore = performance.now() + wait * 1000;
      timer = window.setTimeout(() => void ask(), wait * 1000);
      return;
    }
  }
  timer = window.setTimeout(settle, SETTLE_MS);
}

function settle(): void {
  settled.value = true;
  if (answered) announce();
  answered = false;
}
