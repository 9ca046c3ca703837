// What is asked, and the answer.
import { computed, signal } from "@preact/signals";
import { api, ApiError, type Confidence, type Hit, type Question, type Search, type Span } from "../api";
import { fold, keysOf } from "../lib/folds";
import { folderOf } from "../lib/text";
import { settings } from "./settings";

export type Asked =
  | { kind: "text"; q: string; aside: readonly Span[] }
  | { kind: "like"; like: Span; name: string }
  | { kind: "image"; image: Blob; name: string };

const PAGE = 50;

export const asked = signal<Asked | null>(null);
export const draft = signal(""); // what stands in the box
export const answer = signal<Search | null>(null);
export const hits = signal<Hit[]>([]);
export const manyFolders = computed(() => new Set(hits.value.map((hit) => folderOf(hit.path))).size > 1);
export const phase = signal<"idle" | "busy" | "done" | "failed">("idle");
export const failure = signal<ApiError | null>(null);
export const loadingMore = signal(false);
export const weakerOpen = signal(false);
export const settled = signal(true); // false while the question is still being typed: its answer will not stay
export const unfolded = signal<ReadonlySet<string>>(new Set()); // keys of folds that are open
export const unanswered = signal(false); // the server went away before it answered the last question

const ABOVE: Record<"strict" | "normal" | "all", readonly Confidence[]> = {
  strict: ["confident", "not calibrated"],
  normal: ["confident", "related", "not calibrated"],
  all: ["confident", "related", "nothing found", "not calibrated"],
};

/** Hits above and below the confident line, each in the order of their ranks. */
export const lines = computed(() => {
  const words = ABOVE[settings.value.line];
  const above = hits.value.filter((hit) => words.includes(hit.confidence));
  return { above, below: hits.value.filter((hit) => !words.includes(hit.confidence)) };
});

const keys = computed(() => (settings.value.fold ? keysOf(hits.value) : new Map<string, string>()));

/** The same as cards: those that show the same moment of the same film are one, until it is opened. */
export const rows = computed(() => ({
  above: fold(lines.value.above, keys.value, unfolded.value),
  below: fold(lines.value.below, keys.value, unfolded.value),
}));

/** Not all of them are found by their pictures, so that each says by what it is found. */
export const mixed = computed(() => hits.value.some((hit) => hit.channel !== "seen"));

/** Every hit that has a card on the page now, in its order. */
export const visible = computed(() =>
  [...rows.value.above, ...(weakerOpen.value ? rows.value.below : [])].map(({ hit }) => hit),
);

export function toggleFold(key: string): void {
  const open = new Set(unfolded.value);
  if (!open.delete(key)) open.add(key);
  unfolded.value = open;
}

/** Something else stands in the box than what was answered: the results are those of before. */
export const outdated = computed(
  () => asked.value?.kind === "text" && answer.value !== null && draft.value.trim() !== asked.value.q,
);

/** The text that is searched, if it is a text. */
export const askedText = computed(() => (asked.value?.kind === "text" ? asked.value.q : ""));

let running: AbortController | null = null;
let runningLive = false;

function ask(question: Asked, token: string | null, signal: AbortSignal): Promise<Search> {
  if (question.kind === "image") return api.searchImage(question.image, PAGE, signal);
  const body: Question = { page_limit: PAGE };
  if (token) body.page_token = token;
  if (question.kind === "like") body.like = question.like;
  else {
    body.query_text = question.q;
    if (question.aside.length) body.feedback = { positive: [], negative: [...question.aside] };
  }
  return api.search(body, signal);
}

/** Half a word is one that the model does not know: where nothing is found for it, the words before it are asked. */
async function askTyped(question: Asked, token: string | null, signal: AbortSignal): Promise<Search> {
  const found = await ask(question, token, signal);
  if (question.kind !== "text" || found.verdict !== "nothing found") return found;
  const [before, last] = [question.q.replace(/\S+$/, "").trim(), question.q.split(/\s/).at(-1) ?? ""];
  return found.understood && before && found.unknown_words.includes(last.toLowerCase())
    ? ask({ ...question, q: before }, token, signal)
    : found;
}

/** An answer without the moments that were set aside, which may still be the best of their videos. */
function kept(found: Search, question: Asked): Search {
  const aside = question.kind === "text" ? question.aside : [];
  const isAside = (hit: Hit): boolean =>
    aside.some(({ video_id, start, end }) => video_id === hit.video_id && start < hit.end && hit.start < end);
  const [data, dropped] = [found.data.filter((hit) => !isAside(hit)), found.data.filter(isAside)];
  const sure = dropped.filter((hit) => hit.confidence === "confident").length;
  return { ...found, data, num_confident: found.num_confident - sure };
}

/**
 * Search; true when an answer came that nothing newer has overtaken.
 *
 * A live question is half typed: what is on the page stays until it is answered, and where it cannot be.
 */
export async function run(question: Asked, live = false): Promise<boolean> {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  runningLive = live;
  settled.value = !live;
  if (!live) asked.value = question;
  phase.value = "busy";
  failure.value = null;
  try {
    const found = kept(await (live ? askTyped : ask)(question, null, mine.signal), question);
    if (running !== mine) return false;
    running = null;
    unanswered.value = false;
    asked.value = question;
    answer.value = found;
    hits.value = found.data;
    weakerOpen.value = false;
    unfolded.value = new Set();
    phase.value = "done";
    return true;
  } catch (error) {
    if (running !== mine) return false;
    running = null;
    if (error instanceof ApiError && error.status === 0 && answer.value) {
      unanswered.value = true; // the last results stay; the banner says why
      phase.value = "done";
      return false;
    }
    if (live) {
      failure.value = error instanceof ApiError ? error : null;
      phase.value = answer.value ? "done" : "idle";
      return false;
    }
    answer.value = null;
    hits.value = [];
    failure.value = error instanceof ApiError ? error : null;
    phase.value = error instanceof ApiError ? "failed" : "idle";
    return false;
  }
}

export async function loadMore(): Promise<void> {
  const [now, question] = [answer.value, asked.value];
  if (!now?.has_more || !now.next_page_token || !question || question.kind === "image" || loadingMore.value) return;
  loadingMore.value = true;
  try {
    const more = kept(await ask(question, now.next_page_token, new AbortController().signal), question);
    if (answer.value !== now) return;
    const known = new Set(hits.value.map((hit) => hit.video_id));
    hits.value = [...hits.value, ...more.data.filter((hit) => !known.has(hit.video_id))];
    answer.value = { ...now, has_more: more.has_more, next_page_token: more.next_page_token };
  } catch {
    answer.value = { ...now, has_more: false };
  } finally {
    loadingMore.value = false;
  }
}

/** Stop waiting for the answer. */
export function cancel(): void {
  running?.abort();
  running = null;
  phase.value = answer.value ? "done" : "idle";
}

/** Forget a live question that is not yet answered. */
export function dropLive(): void {
  if (running && runningLive) cancel();
}

/** Back to the empty page. */
export function clear(): void {
  cancel();
  asked.value = null;
  answer.value = null;
  hits.value = [];
  failure.value = null;
  phase.value = "idle";
}
