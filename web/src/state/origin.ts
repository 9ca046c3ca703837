// Which film a clip or a picture comes from.
import { signal } from "@preact/signals";
import { api, type ClipOrigins } from "../api";
import { bytes } from "../lib/text";
import { dialog, reasonOf, say } from "./messages";
import { words } from "./settings";

export interface Traced {
  name: string;
  found: ClipOrigins | null; // null: not yet, or it failed
  wrong: string;
}

const MOST_BYTES = 100_000_000; // that the server takes

export const traced = signal<Traced | null>(null);
let asking: AbortController | null = null;

/** Whether a file is a film by its kind or, where the browser knows none, by its name. */
export const isFilm = (file: File): boolean =>
  file.type.startsWith("video/") || /\.(mkv|webm|mp4|m4v|mov|avi|ts|m2ts|mts|mpe?g|wmv|flv|mxf|3gp)$/i.test(file.name);

/** Ask where it comes from, and show that. */
export async function trace(file: Blob, name: string): Promise<void> {
  const w = words.peek();
  if (file.size > MOST_BYTES) return say(w.clipTooLarge(name, bytes(MOST_BYTES, w.locale)));
  stopTracing();
  const mine = new AbortController();
  asking = mine;
  traced.value = { name, found: null, wrong: "" };
  dialog.value = "origin";
  try {
    const found = await api.trace(file, mine.signal);
    if (asking === mine) traced.value = { name, found, wrong: "" };
  } catch (error) {
    if (asking === mine) traced.value = { name, found: null, wrong: reasonOf(error) };
  }
}

export function stopTracing(): void {
  asking?.abort();
  asking = null;
}
