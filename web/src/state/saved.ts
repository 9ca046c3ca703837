// Searches that are kept beside the library, and what is new in them since somebody looked.
import { computed, effect, signal } from "@preact/signals";
import { api, type Saved } from "../api";
import { searchText } from "./actions";
import { library } from "./library";
import { say, sayFailure } from "./messages";
import { askedText } from "./search";
import { words } from "./settings";

export const saved = signal<readonly Saved[]>([]);
export const numNew = computed(() => saved.value.reduce((sum, one) => sum + one.num_new, 0));
/** The search on the page, if it is kept. */
export const current = computed(() => saved.value.find((one) => one.query === askedText.value) ?? null);

const looked = signal<{ query: string; ids: ReadonlySet<string> } | null>(null); // what was new when it was opened

/** Whether a result of the search on the page came since somebody last looked at it. */
export const isNew = (id: string): boolean =>
  looked.value !== null && looked.value.query === askedText.value && looked.value.ids.has(id);

async function refresh(): Promise<void> {
  saved.value = (await api.saved()).data;
}

/** Keep the search on the page. */
export async function keep(query: string): Promise<void> {
  try {
    await api.save(query);
    await refresh();
    say(words.value.searchSaved);
  } catch (error) {
    sayFailure(error);
  }
}

export async function drop(one: Saved): Promise<void> {
  try {
    await api.dropSaved(one.id);
  } catch (error) {
    sayFailure(error);
  }
  await refresh().catch(sayFailure);
}

/** Ask it again; what is new in it is marked, and counts as looked at from now on. */
export async function open(one: Saved): Promise<void> {
  try {
    const found = await api.newOf(one.id);
    looked.value = { query: one.query, ids: new Set(found.data.map((hit) => hit.video_id)) };
    searchText(one.query);
    if (found.data.length) await api.save(one.query);
    await refresh();
  } catch (error) {
    sayFailure(error);
  }
}

/** Ask what is new whenever the library has changed. */
export function keepSaved(): void {
  effect(() => {
    if (library.value?.generation && library.value.num_videos) void refresh().catch(() => undefined);
  });
}
