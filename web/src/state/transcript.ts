// What is said in the open video, line by line; asked for while somebody looks at it.
import { computed, effect, signal } from "@preact/signals";
import { api, type Line, type Moment } from "../api";
import { plain } from "../lib/text";
import { reasonOf } from "./messages";
import { now, opened, video } from "./player";

export const shown = signal(false);
export const lines = signal<readonly Line[] | null>(null);
export const heard = signal(false); // by a model, and not written by people
export const sought = signal(""); // in the transcript
export const trouble = signal("");

const id = computed(() => opened.value?.id ?? "");
const there = computed(() => Boolean(video.value?.subtitles_url) && video.value?.id === id.value);

effect(() => {
  const asked = id.value;
  [lines.value, trouble.value, sought.value] = [null, "", ""];
  if (!shown.value || !there.value || !asked) return;
  const mine = new AbortController();
  api.transcript(asked, mine.signal).then(
    (found) => {
      if (mine.signal.aborted) return;
      [lines.value, heard.value] = [found.lines, found.source === "heard"];
    },
    (error: unknown) => {
      if (!mine.signal.aborted) trouble.value = reasonOf(error);
    },
  );
  return () => mine.abort();
});

/** Which line is said now, or was the last one said; -1 before the first. */
export const current = computed(() => {
  const found = lines.value ?? [];
  let [low, high] = [0, found.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((found[middle]?.start ?? 0) <= now.value + 0.05) low = middle + 1;
    else high = middle;
  }
  return low - 1;
});

/** The lines that hold what is sought, by their places; all without it. */
export const matches = computed<readonly number[]>(() => {
  const wanted = plain(sought.value);
  const found = lines.value ?? [];
  return found.flatMap((line, place) => (!wanted || plain(line.text).includes(wanted) ? [place] : []));
});

/** Where words are said that somebody looks for: those sought in the transcript, else those that the hit quotes. */
export const marks = computed<readonly Moment[]>(() => {
  const found = lines.value;
  if (shown.value && found && plain(sought.value)) return matches.value.flatMap((place) => found[place] ?? []);
  const hit = opened.value?.hit;
  return hit && hit.channel !== "seen" ? hit.moments.slice(0, 1) : [];
});

export const asText = (): string => (lines.value ?? []).map((line) => line.text).join("\n");
