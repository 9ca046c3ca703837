// What a search can be limited to, as controls; they write into the sentence what one could type there.
import { useEffect, useRef, useState } from "preact/hooks";
import { CHANNELS, filtersOf, withFilters, type Filters as Parts } from "../lib/query";
import { searchText } from "../state/actions";
import { library } from "../state/library";
import { draft } from "../state/search";
import { filtersOpen, words } from "../state/settings";

const LENGTHS = ["", "30s", "1m", "5m", "15m", "30m", "1h"];

export function Filters() {
  const w = words.value;
  const [parts, setParts] = useState<Parts>(filtersOf(draft.peek()));
  const first = useRef<HTMLInputElement>(null);
  useEffect(() => first.current?.focus(), []);
  const set = (patch: Partial<Parts>): void => setParts((old) => ({ ...old, ...patch }));
  const tags = library.value?.tags ?? [];
  const close = (): void => {
    filtersOpen.value = false;
  };
  const apply = (next: Parts): void => {
    const q = withFilters(draft.peek(), next);
    close();
    draft.value = q;
    if (filtersOf(q).rest) searchText(q);
  };
  return (
    <form
      class="filters"
      aria-label={w.filters}
      onKeyDown={(event) => {
        if (event.key === "Escape") close();
      }}
      onSubmit={(event) => {
        event.preventDefault();
        apply(parts);
      }}
    >
      <label>
        {w.filterPath}
        <input
          ref={first}
          type="text"
          value={parts.path}
          placeholder={w.filterPathHint}
          onInput={(event) => set({ path: event.currentTarget.value })}
        />
      </label>
      <label>
        {w.filterChannel}
        <select
          value={parts.channel}
          onChange={(event) => set({ channel: event.currentTarget.value as Parts["channel"] })}
        >
          <option value="">{w.anyChannel}</option>
          {CHANNELS.map((channel) => (
            <option key={channel} value={channel}>
              {w.onlyChannel[channel]}
            </option>
          ))}
        </select>
      </label>
      <label>
        {w.filterAfter}
        <input type="date" value={parts.after} onInput={(event) => set({ after: event.currentTarget.value })} />
      </label>
      <label>
        {w.filterBefore}
        <input type="date" value={parts.before} onInput={(event) => set({ before: event.currentTarget.value })} />
      </label>
      <Length label={w.filterLonger} value={parts.longer} set={(longer) => set({ longer })} />
      <Length label={w.filterShorter} value={parts.shorter} set={(shorter) => set({ shorter })} />
      {tags.length > 0 && (
        <label>
          {w.filterTag}
          <select value={parts.tag} onChange={(event) => set({ tag: event.currentTarget.value })}>
            <option value="">{w.anyTag}</option>
            {tags.map((tag) => (
              <option key={tag}>{tag}</option>
            ))}
          </select>
        </label>
      )}
      <label>
        {w.filterWithout}
        <input
          type="text"
          value={parts.without}
          placeholder={w.filterWithoutHint}
          onInput={(event) => set({ without: event.currentTarget.value })}
        />
      </label>
      <div class="row">
        <button type="submit" class="small">
          {w.filterApply}
        </button>
        <button type="button" class="small" onClick={() => apply(filtersOf(filtersOf(draft.peek()).rest))}>
          {w.filterClear}
        </button>
      </div>
    </form>
  );
}

function Length({ label, value, set }: { label: string; value: string; set: (value: string) => void }) {
  const w = words.value;
  const known = LENGTHS.includes(value) ? LENGTHS : [...LENGTHS, value];
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => set(event.currentTarget.value)}>
        {known.map((one) => (
          <option key={one} value={one}>
            {one
              ? one
                  .replace(/(\d+)s$/, "$1 s")
                  .replace(/(\d+)m$/, "$1 min")
                  .replace(/(\d+)h$/, "$1 h")
              : w.anyLength}
          </option>
        ))}
      </select>
    </label>
  );
}
