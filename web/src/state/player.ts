// The one player: which video, which moment, where in it, and the curve of its strip.
import { batch, computed, signal } from "@preact/signals";
import { api, type Hit, type Moment, type Scores, type Video, type VideoState } from "../api";
import { at, height } from "../lib/pool";
import { answer } from "./search";
import { change, settings } from "./settings";

export interface Opened {
  id: string;
  name: string;
  path: string;
  hit: Hit | null;
  question: string; // the sentence that the hit answers
}

export interface Curve {
  values: readonly number[];
  step: number;
  range: readonly [number, number];
  moments: readonly Moment[]; // in order of time
  best: Moment | null;
}

type Fault = Extract<VideoState, "needs_proxy" | "missing" | "unreadable" | "features_only">;
const FAULTS: readonly VideoState[] = ["needs_proxy", "missing", "unreadable", "features_only"];
const isFault = (state: VideoState): state is Fault => FAULTS.includes(state);

export const opened = signal<Opened | null>(null);
export const video = signal<Video | null>(null);
export const scores = signal<Scores | null>(null);
export const inside = signal<Scores | null>(null); // another question, asked of this video only
export const fault = signal<Fault | null>(null);
export const now = signal(0);
export const paused = signal(true);
export const waiting = signal(false);
export const measured = signal(0); // the length that the browser found
export const rate = signal(1);
export const muted = signal(false);
export const range = signal<Moment | null>(null);
export const stretched = signal(false);

export const second = computed(() => Math.floor(now.value));
export const duration = computed(
  () => video.value?.duration_s || opened.value?.hit?.duration_s || scores.value?.duration_s || measured.value,
);

export const curve = computed<Curve>(() => {
  const [asked, hit] = [inside.value ?? scores.value, opened.value?.hit];
  const found = inside.value?.moments ?? hit?.moments ?? scores.value?.moments ?? []; // a hit also knows spoken words
  const values = asked?.scores ?? hit?.relevance ?? [];
  const fixed = inside.value?.range ?? answer.value?.relevance_range ?? scores.value?.range ?? [0, 1];
  const own: [number, number] = [Math.min(...values), Math.max(...values)];
  return {
    values,
    step: asked?.step_s ?? hit?.relevance_step_s ?? 1,
    range: stretched.value && values.length ? own : fixed,
    moments: [...found].sort((a, b) => a.start - b.start),
    best: found[0] ?? null,
  };
});

/** Which moment the playhead is in, from 1; 0 outside. */
export const insideMoment = computed(
  () => curve.value.moments.findIndex(({ start, end }) => start - 0.05 <= now.value && now.value < end) + 1,
);

/** Relevance of an instant from 0 to 100 on the scale of the strip. */
export function shareAt(time: number): number | null {
  const value = at(curve.value.values, curve.value.step, time);
  return value === null ? null : Math.round(100 * height(value, curve.value.range));
}

/** What loop, export and more-like-this act on: the chosen range, else the moment at the playhead, else the best. */
export const target = computed<Moment | null>(
  () => range.value ?? curve.value.moments[insideMoment.value - 1] ?? curve.value.best,
);

/** Browsers cut a time to microseconds, and the API tells milliseconds: half a picture (at 60 a second) later is inside. */
const INSIDE_S = 0.008;

let element: HTMLVideoElement | null = null;
let wish: { time: number; play: boolean } | null = null; // until the video knows its length
let asking: AbortController | null = null;

export const attach = (found: HTMLVideoElement | null): void => {
  element = found;
  if (found) [found.muted, found.playbackRate] = [muted.value, rate.value];
};

export const stage = (): HTMLElement | null => element?.closest<HTMLElement>(".deck") ?? null;

/** Show a video at a time. The same video is only sought in, not loaded again. */
export function open(what: Opened, time: number, play: boolean): void {
  const same = opened.value?.id === what.id && opened.value.hit === what.hit;
  now.value = time;
  if (same) {
    seek(time);
    if (play) void start();
    return;
  }
  const loadedAlready = opened.value?.id === what.id && !fault.value && element !== null && element.readyState > 0;
  asking?.abort();
  asking = new AbortController();
  batch(() => {
    opened.value = what;
    [scores.value, inside.value, range.value] = [null, null, null];
  });
  if (what.question) {
    api.scores(what.id, what.question, asking.signal).then(
      (found) => {
        if (opened.value === what) scores.value = found;
      },
      () => undefined, // the coarser curve of the hit stays
    );
  }
  if (loadedAlready) {
    seek(time);
    if (play) void start();
    return;
  }
  [video.value, measured.value, paused.value] = [null, 0, true];
  fault.value = what.hit && isFault(what.hit.state) ? what.hit.state : null;
  wish = { time, play };
  void details(what);
}

/** What the server knows of the file; says in time that it cannot be played. */
export async function details(what: Opened | null = opened.value): Promise<Video | null> {
  if (!what) return null;
  const found = await api.video(what.id).catch(() => null);
  if (opened.value?.id !== what.id || !found) return found;
  video.value = found;
  fault.value = isFault(found.state) ? found.state : null;
  return found;
}

/** A playable copy was made: the same address now plays. */
export function playCopy(): void {
  wish = { time: now.value, play: true };
  fault.value = null;
  void details();
}

export function onReady(): void {
  if (!element) return;
  measured.value = Number.isFinite(element.duration) ? element.duration : 0;
  element.playbackRate = rate.value;
  if (!wish) return;
  element.currentTime = wish.time + INSIDE_S;
  if (wish.play) void start();
  wish = null;
}

export async function onError(): Promise<void> {
  const what = opened.value;
  const found = await details(what);
  if (what && opened.value === what && found && !isFault(found.state)) fault.value = "needs_proxy";
}

export async function start(): Promise<void> {
  if (wish) wish.play = true;
  if (fault.value || !element) return;
  try {
    await element.play();
  } catch {
    paused.value = element.paused; // the browser wants a gesture first
  }
}

export function toggle(): void {
  if (!element || fault.value) return;
  if (element.paused) void start();
  else element.pause();
}

/** Stop while something lies above the video; true when it played. */
export function pause(): boolean {
  const played = element !== null && !element.paused;
  if (played) element?.pause();
  return played;
}

export function seek(time: number): void {
  const there = Math.min(Math.max(0, time), Math.max(0, duration.value - 0.05) || time);
  now.value = there;
  if (wish) wish.time = there;
  else if (element && !fault.value) element.currentTime = there + INSIDE_S;
}

/** Called as often as the picture changes. */
export function tick(): void {
  if (!element || wish || element.seeking) return;
  const part = target.peek();
  const end = part ? part.end : 0;
  if (settings.peek().loop && part && now.peek() < end && element.currentTime >= end)
    element.currentTime = part.start + INSIDE_S;
  now.value = element.currentTime;
}

export function setRate(value: number): void {
  rate.value = value;
  if (element) element.playbackRate = value;
}

export function setMuted(value: boolean): void {
  muted.value = value;
  if (element) element.muted = value;
}

export const toggleLoop = (): void => change({ loop: !settings.value.loop });

/** One end of the range at the playhead; the other end stays, or is the end of the moment, or of the video. */
export function mark(side: "start" | "end"): void {
  const time = Math.round(now.value * 10) / 10;
  const old = range.value ?? { start: 0, end: duration.value };
  const made = side === "start" ? { start: time, end: old.end } : { start: old.start, end: time };
  if (made.end - made.start < 0.1) {
    made.start = side === "start" ? time : Math.max(0, time - 1);
    made.end = side === "end" ? time : Math.min(duration.value, time + 1);
  }
  range.value = made;
}

/** Ask another question of the open video only. */
export async function searchInside(query: string): Promise<boolean> {
  const what = opened.value;
  if (!what) return false;
  const found = await api.scores(what.id, query);
  const [part, within] = [range.value, found.moments];
  const kept = part ? within.filter(({ start, end }) => start < part.end && part.start < end) : within;
  inside.value = { ...found, moments: kept };
  if (kept[0]) seek(kept[0].start);
  return kept.length > 0;
}
