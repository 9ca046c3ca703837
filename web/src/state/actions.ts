// What people do, put together from search, player and the address bar.
import { effect, signal } from "@preact/signals";
import { api, type Hit, type Moment, type Span, type Video } from "../api";
import { clockSpan } from "../lib/time";
import { format, NOWHERE, parse, type Place } from "../lib/url";
import { locked, whenBack } from "./connection";
import { keepLooking, refreshLibrary } from "./library";
import { announcement, copy, dropUndo, say, sayFailure } from "./messages";
import * as player from "./player";
import { keepSaved } from "./saved";
import * as search from "./search";
import { lessMotion, remember, settings, words } from "./settings";

export const inLibrary = signal(false); // the folders and all videos are shown
const entered = signal(false); // the address was read, so it may be written

/** Where we are, as the address bar says it. */
export function place(): Place {
  const question = search.asked.value;
  const video = player.opened.value?.id ?? null;
  return {
    q: question?.kind === "text" ? question.q : "",
    like: question?.kind === "like" ? question.like : null,
    video,
    time: video ? player.now.value : null,
    moment: video ? player.insideMoment.value || null : null,
    library: !question && inLibrary.value,
  };
}

let typing = false; // the newest entry of the history is a question that is still being typed

function push(where: Place): void {
  typing = false;
  history.pushState(null, "", format(where));
}

/** The entry of a sentence: one for all its letters while it is typed, and for the Enter at its end. */
function pushSentence(q: string, live: boolean): void {
  const url = format({ ...NOWHERE, q });
  if (typing) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  typing = live;
}

export function announce(): void {
  const [found, w] = [search.answer.value, words.value];
  if (!found) return;
  const nothing = found.verdict === "nothing found";
  announcement.value = nothing ? w.announceNothing : w.announce(search.lines.value.above.length, found.num_confident);
}

async function ask(question: search.Asked, keep: Place | null): Promise<void> {
  dropUndo();
  inLibrary.value = false;
  if (!(await search.run(question))) {
    if (search.phase.value === "failed") player.opened.value = null;
    return;
  }
  announce();
  await show(keep);
}

/** The first hit of an answer, or what the address says, into the player. */
async function show(keep: Place | null): Promise<void> {
  if (!keep) window.scrollTo(0, 0);
  const hit = keep?.video
    ? search.hits.value.find(({ video_id }) => video_id === keep.video)
    : search.lines.value.above[0];
  if (hit) openAt(hit, keep);
  else if (keep?.video) await openUnlisted(keep);
  else player.opened.value = null;
}

function openAt(hit: Hit, keep: Place | null): void {
  const moments = [...hit.moments].sort((a, b) => a.start - b.start);
  const moment = keep?.moment ? moments[keep.moment - 1] : undefined;
  const auto = settings.value.autoplay && !lessMotion() && !keep?.video;
  if (auto) player.setMuted(true);
  player.open(openedOf(hit), keep?.time ?? moment?.start ?? hit.start, auto);
}

/** A link to a video that is not among the first results. */
async function openUnlisted(keep: Place): Promise<void> {
  if (!keep.video) return;
  try {
    showVideo(await api.video(keep.video), keep.time ?? 0, false);
  } catch (error) {
    player.opened.value = null;
    sayFailure(error);
  }
}

const openedOf = (hit: Hit): player.Opened => ({
  id: hit.video_id,
  name: hit.name,
  path: hit.path,
  hit,
  question: search.answer.value?.query ?? "",
});

function showVideo(video: Video, time: number, play: boolean): void {
  player.open({ id: video.id, name: video.name, path: video.path, hit: null, question: "" }, time, play);
}

/** Ask a sentence. */
export function searchText(text: string): void {
  const q = text.trim();
  if (!q) return goHome();
  search.draft.value = q;
  remember(q);
  pushSentence(q, false);
  void ask({ kind: "text", q, aside: [] }, null);
}

/** Ask what stands in the box so far; true when it was answered. The box stays as it is, and nothing is remembered. */
export async function searchLive(q: string): Promise<boolean> {
  if (!(await search.run({ kind: "text", q, aside: [] }, true))) return false;
  pushSentence(q, true);
  await show(null);
  return true;
}

export function searchLike(like: Span, name: string): void {
  search.draft.value = "";
  push({ ...NOWHERE, like });
  void ask({ kind: "like", like, name }, null);
}

export function searchImage(image: Blob, name: string): void {
  search.draft.value = "";
  push(NOWHERE);
  void ask({ kind: "image", image, name }, null);
}

export function searchAgain(): void {
  const question = search.asked.value;
  if (question) void ask(question, place());
}

/** Set a moment aside and search again without what it shows. */
export function notThis(span: Span): void {
  const question = search.asked.value;
  if (question?.kind !== "text") return;
  const before = question;
  void ask({ ...question, aside: [...question.aside, span] }, null); // takes the note of the one before away
  say(words.value.notThisDone, { label: words.value.undo, run: () => void ask(before, null) });
}

export function forgetAside(): void {
  const question = search.asked.value;
  if (question?.kind === "text") void ask({ ...question, aside: [] }, null);
}

/** The folders of the library and all its videos. */
export function goLibrary(): void {
  goHome({ ...NOWHERE, library: true });
}

export function goHome(where: Place = NOWHERE): void {
  dropUndo();
  search.clear();
  inLibrary.value = where.library;
  search.draft.value = "";
  player.opened.value = null;
  push(where);
  window.scrollTo(0, 0);
}

/** Play a hit from its best moment, or from a time of it. */
export function playHit(hit: Hit, time: number = hit.start): void {
  search.dropLive();
  const other = player.opened.value?.id !== hit.video_id;
  player.open(openedOf(hit), time, true);
  if (other) push(place());
}

/** Play a part of a video that need not be among the results. */
export async function playPlace(id: string, part: Moment): Promise<void> {
  try {
    showVideo(await api.video(id), part.start, true);
    if (part.end - part.start >= 0.5) player.range.value = { start: part.start, end: part.end };
    push(place());
  } catch (error) {
    sayFailure(error);
  }
}

/** Show a second of a video in a player of this machine. */
export function openIn(id: string, name: string, at: number): void {
  player.pause();
  api.openIn(id, name, at).catch(sayFailure);
}

export function playVideo(video: Video): void {
  showVideo(video, 0, true);
  push(place());
}

/** To the next moment in time, or the one before; the player's own button and key. */
export function step(direction: 1 | -1): void {
  const { moments } = player.curve.value;
  const time = player.now.value;
  const next =
    direction > 0 ? moments.find(({ start }) => start > time + 0.3) : moments.findLast(({ start }) => start < time - 1);
  if (next) player.seek(next.start);
}

const spanOf = ({ start, end }: Moment, video_id: string): Span => ({ video_id, start, end });

/** The chosen range, or the moment at the playhead, as a span of the open video. */
export function targetSpan(): Span | null {
  const [what, part] = [player.opened.value, player.target.value];
  return what && part ? spanOf(part, what.id) : null;
}

export function moreLikeTarget(): void {
  const [what, span] = [player.opened.value, targetSpan()];
  if (what && span) searchLike(span, what.name);
}

export function notThisTarget(): void {
  const span = targetSpan();
  if (span) notThis(span);
}

export const bestOf = (hit: Hit): Span => ({ video_id: hit.video_id, start: hit.start, end: hit.end });

export function copyLink(where: Place = place()): void {
  void copy(new URL(format(where), location.href).href, words.value.linkCopied);
}

export const linkTo = (hit: Hit): string => format({ ...place(), video: hit.video_id, time: hit.start, moment: null });

export async function removeVideo(id: string, name: string): Promise<void> {
  try {
    await api.removeVideo(id);
    search.hits.value = search.hits.value.filter((hit) => hit.video_id !== id);
    if (player.opened.value?.id === id) player.opened.value = null;
    say(words.value.removed(name));
    void refreshLibrary();
  } catch (error) {
    sayFailure(error);
  }
}

/** The server is told where a video lies now; results and player go on with it. Throws what the server refuses. */
export async function locateVideo(id: string, place: string): Promise<void> {
  const { name, path, state } = await api.locate(id, place);
  const news = { name, path, state };
  search.hits.value = search.hits.value.map((hit) => (hit.video_id === id ? { ...hit, ...news } : hit));
  const what = player.opened.value;
  if (what?.id === id) {
    const hit = search.hits.value.find(({ video_id }) => video_id === id) ?? null;
    player.opened.value = null; // or it would only be sought in
    player.open({ ...what, name, path, hit: what.hit && hit }, player.now.value, false);
  }
  say(words.value.located(name));
  void refreshLibrary();
}

export const revealVideo = (id: string): void => void api.reveal(id).catch(sayFailure);

/** Make the page what the address bar says: at the start, and on Back and Forward. */
async function restore(): Promise<void> {
  const where = parse(location.search);
  inLibrary.value = where.library && !where.q && !where.like;
  search.draft.value = where.q;
  const shown = place();
  const known = search.phase.value === "done" && where.q === shown.q && sameSpan(where.like, shown.like);
  if (known && (where.q || where.like)) {
    const hit = search.hits.value.find(({ video_id }) => video_id === where.video) ?? search.lines.value.above[0];
    if (hit) openAt(hit, where.video ? where : null);
    else await openUnlisted(where);
  } else if (where.q) await ask({ kind: "text", q: where.q, aside: [] }, where);
  else if (where.like) await ask({ kind: "like", like: where.like, name: where.like.video_id }, where);
  else {
    search.clear();
    player.opened.value = null;
    await openUnlisted(where);
  }
}

const sameSpan = (one: Span | null, other: Span | null): boolean =>
  one === other || (one?.video_id === other?.video_id && one?.start === other?.start && one?.end === other?.end);

export const spanName = (span: Moment): string => clockSpan(span.start, span.end);

/** What there is, and what the address asks of it; at the start and after unlocking. */
export async function enter(): Promise<void> {
  await refreshLibrary();
  if (!locked.value) await restore();
}

/** Once, when the page is loaded. */
export function begin(): void {
  window.addEventListener("popstate", () => {
    typing = false;
    void restore();
  });
  whenBack(() => {
    if (search.unanswered.value || search.phase.value === "failed") searchAgain();
    void refreshLibrary();
  });
  effect(() => {
    // The address follows the playhead where it rests, so that a reload or a copied address finds it again.
    const resting = player.paused.value && search.phase.value !== "busy" && !locked.value;
    if (!resting || search.asked.value?.kind === "image" || !entered.value) return;
    const url = format(place());
    const timer = setTimeout(() => {
      if (url !== `./${location.search}`) history.replaceState(null, "", url);
    }, 250);
    return () => clearTimeout(timer);
  });
  effect(() => {
    const what = search.askedText.value || player.opened.value?.name;
    document.title = what ? `${what} – prvr` : "prvr";
  });
  keepLooking();
  keepSaved();
  void enter().then(() => {
    entered.value = true;
  });
}
