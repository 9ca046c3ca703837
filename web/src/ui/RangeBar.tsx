// A part of the video: chosen on the strip or with buttons, and another question asked of the open video only.
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { clock } from "../lib/time";
import { say, sayFailure } from "../state/messages";
import * as player from "../state/player";
import { words } from "../state/settings";
import { Icon } from "./Icon";

const insideOpen = signal(false);

export function RangeBar() {
  const w = words.value;
  const part = player.range.value;
  return (
    <div class="rangebar" role="group" aria-label={w.range}>
      <button type="button" class="small" onClick={() => player.mark("start")}>
        {w.setStart}
      </button>
      <button type="button" class="small" onClick={() => player.mark("end")}>
        {w.setEnd}
      </button>
      {part && (
        <>
          <output>
            {clock(part.start, 1)} – {clock(part.end, 1)}
          </output>
          <button
            type="button"
            class="quiet"
            aria-label={w.clearRange}
            title={w.clearRange}
            onClick={() => (player.range.value = null)}
          >
            <Icon name="close" />
          </button>
        </>
      )}
      <button
        type="button"
        class="small"
        aria-expanded={insideOpen.value}
        onClick={() => (insideOpen.value = !insideOpen.value)}
      >
        <Icon name="inside" />
        {w.searchInside}
      </button>
      <button
        type="button"
        class="small"
        aria-pressed={player.stretched.value}
        title={w.stretchHint}
        onClick={() => (player.stretched.value = !player.stretched.value)}
      >
        {w.stretch}
      </button>
    </div>
  );
}

export function Inside() {
  const w = words.value;
  const [text, setText] = useState("");
  const shown = player.inside.value;
  if (!insideOpen.value && !shown) return null;
  const ask = async (): Promise<void> => {
    if (!text.trim()) return;
    try {
      if (!(await player.searchInside(text.trim()))) say(w.nothingInside);
    } catch (error) {
      sayFailure(error);
    }
  };
  return (
    <form
      class="inside"
      aria-label={w.searchInsideLabel}
      onSubmit={(event) => {
        event.preventDefault();
        void ask();
      }}
    >
      <input
        type="text"
        aria-label={w.searchInsideField}
        placeholder={w.searchInsideField}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <button type="submit" class="small">
        {w.search}
      </button>
      {shown && (
        <p role="status">
          {w.insideNow(shown.query)}{" "}
          <button type="button" class="plain" onClick={() => (player.inside.value = null)}>
            {w.backToSearch}
          </button>
        </p>
      )}
    </form>
  );
}
