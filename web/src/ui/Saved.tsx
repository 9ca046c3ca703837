// Searches that are kept: the mark that keeps the one on the page, and all of them with what is new.
import type { Saved } from "../api";
import { dialog } from "../state/messages";
import { current, drop, keep, numNew, open, saved } from "../state/saved";
import { asked } from "../state/search";
import { words } from "../state/settings";
import { Dialog } from "./Dialog";
import { Icon } from "./Icon";

/** Beside the results: keep this search, or keep it no longer. */
export function SaveMark() {
  const w = words.value;
  const question = asked.value;
  if (question?.kind !== "text" || question.aside.length) return null;
  const kept = current.value;
  const label = kept ? w.unsaveSearch : w.saveSearch;
  return (
    <button
      type="button"
      class="quiet"
      aria-label={label}
      title={label}
      aria-pressed={kept !== null}
      onClick={() => void (kept ? drop(kept) : keep(question.q))}
    >
      <Icon name="saved" solid={kept !== null} />
    </button>
  );
}

/** At the top, once there is one: all of them, and how much is new. */
export function SavedButton() {
  const w = words.value;
  if (!saved.value.length) return null;
  const label = numNew.value ? w.savedNew(numNew.value) : w.savedSearches;
  return (
    <button type="button" class="tool" aria-label={label} title={label} onClick={() => (dialog.value = "saved")}>
      <Icon name="saved" />
      {numNew.value > 0 && <span class="news">{numNew.value}</span>}
    </button>
  );
}

export function SavedDialog() {
  const w = words.value;
  return (
    <Dialog title={w.savedSearches}>
      <p class="hint">{w.savedHelp}</p>
      <ul class="saved">
        {saved.value.map((one) => (
          <Row key={one.id} one={one} />
        ))}
      </ul>
    </Dialog>
  );
}

function Row({ one }: { one: Saved }) {
  const w = words.value;
  return (
    <li>
      <button
        type="button"
        class="plain"
        onClick={() => {
          dialog.value = null;
          void open(one);
        }}
      >
        <bdi title={one.query}>{one.name || one.query}</bdi>
      </button>
      {one.num_new > 0 && <span class="news">{w.numNew(one.num_new)}</span>}
      <button
        type="button"
        class="quiet"
        aria-label={w.removeChip(one.name || one.query)}
        onClick={() => {
          if (saved.value.length < 2) dialog.value = null;
          void drop(one);
        }}
      >
        <Icon name="remove" />
      </button>
    </li>
  );
}
