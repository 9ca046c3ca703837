// The address bar holds everything: what is asked, which video is open, where in it.
import type { Span } from "../api";

export interface Place {
  q: string;
  like: Span | null;
  video: string | null;
  time: number | null;
  moment: number | null; // 1 = the best one
  library: boolean; // the folders and all videos, where nothing is asked
}

export const NOWHERE: Place = { q: "", like: null, video: null, time: null, moment: null, library: false };

const number = (text: string | null): number | null => {
  const value = text === null || text === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) && value >= 0 ? value : null;
};

/** "id@1.5-3" -> a span of a video. */
export function spanOf(text: string | null): Span | null {
  const found = /^(.+)@(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(text ?? "");
  if (!found) return null;
  const [, video_id = "", start = "", end = ""] = found;
  return { video_id, start: Number(start), end: Number(end) };
}

/** `?q=…&v=…&t=751.2&m=1` -> a place. */
export function parse(search: string): Place {
  const part = new URLSearchParams(search);
  const moment = number(part.get("m"));
  return {
    q: (part.get("q") ?? "").trim(),
    like: spanOf(part.get("like")),
    video: part.get("v") || null,
    time: number(part.get("t")),
    moment: moment !== null && Number.isInteger(moment) && moment > 0 ? moment : null,
    library: part.has("library"),
  };
}

const short = (seconds: number): string => String(Math.round(seconds * 10) / 10);

/** A place -> the address of it, from where the page is. */
export function format(place: Place): string {
  const part = new URLSearchParams();
  if (place.library) part.set("library", "");
  if (place.q) part.set("q", place.q);
  if (place.like) part.set("like", `${place.like.video_id}@${short(place.like.start)}-${short(place.like.end)}`);
  if (place.video) {
    part.set("v", place.video);
    if (place.time !== null) part.set("t", short(place.time));
    if (place.moment !== null) part.set("m", String(place.moment));
  }
  const text = part.toString().replace("library=", "library");
  return text ? `./?${text}` : "./";
}
