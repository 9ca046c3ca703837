// Copies of a film show the same moment: they stand under the best of them, folded until somebody wants to see them.
import type { Hit } from "../api";

export interface Row {
  hit: Hit;
  fold: string; // the key of the fold that it belongs to
  similar: number; // others that the fold holds, told by its first row
  open: boolean;
  under: boolean; // it stands under the first row of its fold
}

type Repeats = Pick<Hit, "video_id" | "same_as">;

/** Of every video the one that it repeats in the end, which may itself be gone from the list. */
export function keysOf(hits: readonly Repeats[]): Map<string, string> {
  const keys = new Map<string, string>();
  for (const { video_id, same_as } of hits) keys.set(video_id, keys.get(same_as ?? video_id) ?? same_as ?? video_id);
  return keys;
}

/** The rows of a list: what is folded has none. Without keys every hit stands for itself. */
export function fold(hits: readonly Hit[], keys: ReadonlyMap<string, string>, opened: ReadonlySet<string>): Row[] {
  const folds = new Map<string, Hit[]>();
  for (const hit of hits) {
    const key = keys.get(hit.video_id) ?? hit.video_id;
    folds.get(key)?.push(hit) ?? folds.set(key, [hit]);
  }
  return [...folds].flatMap(([key, all]) => {
    const open = opened.has(key);
    const shown = open ? all : all.slice(0, 1);
    return shown.map((hit, at) => ({ hit, fold: key, similar: at ? 0 : all.length - 1, open, under: at > 0 }));
  });
}
