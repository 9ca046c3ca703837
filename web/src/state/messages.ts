// What is said to the user beside the page: a short note, an announcement, an open dialog, a menu, a tip.
import { signal } from "@preact/signals";
import { ApiError, type Hit } from "../api";
import { words } from "./settings";

export interface Note {
  text: string;
  action?: { label: string; run: () => void };
}

export const note = signal<Note | null>(null);
export const announcement = signal("");
export const dialog = signal<
  "settings" | "help" | "problems" | "export" | "remove" | "locate" | "origin" | "saved" | "add" | "leave" | null
>(null);
export const leaving = signal<Hit | null>(null); // the video that `remove` asks about
export const lost = signal<{ id: string; name: string } | null>(null); // the video that `locate` asks about
export const menu = signal<{ hit: Hit; anchor: DOMRect; from: HTMLElement } | null>(null);
export const tip = signal<{ x: number; y: number; text: string; image: string | null } | null>(null);

/** Ask where a video lies now. */
export function askWhere(id: string, name: string): void {
  lost.value = { id, name };
  dialog.value = "locate";
}

let timer = 0;

/** Say something for some seconds. */
export function say(text: string, action?: Note["action"]): void {
  clearTimeout(timer);
  note.value = action ? { text, action } : { text };
  timer = window.setTimeout(() => {
    note.value = null;
  }, 8000);
}

/** What could be undone of the last search cannot be undone in the next one. */
export function dropUndo(): void {
  if (note.value?.action) note.value = null;
}

/** A failure in the words of the server, or in ours where it said nothing. */
export function reasonOf(error: unknown): string {
  if (error instanceof ApiError && error.message) return error.message;
  return words.peek().noConnection;
}

export function sayFailure(error: unknown): void {
  if (error instanceof ApiError && (error.status === 0 || error.status === 401)) return; // the banner or the form says it
  say(words.peek().failed(reasonOf(error)));
}

export async function copy(text: string, done: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(done);
  } catch {
    say(words.peek().notCopied);
  }
}
