// The box that a sentence is typed into, with what could be meant below it. Nothing is sent before Enter,
// unless the setting says so.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { completions } from "../lib/query";
import { searchText } from "../state/actions";
import { library } from "../state/library";
import * as live from "../state/live";
import { draft } from "../state/search";
import { forget, lessMotion, recent, words } from "../state/settings";
import { Icon } from "./Icon";

interface Offer {
  text: string; // the query after it is taken
  shown: string;
  help: string;
  caret: number;
}

export const box = { element: null as HTMLInputElement | null };
const example = signal("");

/** Another caption of this library every few seconds, while the box is empty and nobody types. */
function usePlaceholder(): string {
  const examples = library.value?.examples ?? [];
  useEffect(() => {
    if (!examples.length) return;
    let index = 0;
    example.value = examples[0] ?? "";
    if (lessMotion()) return;
    const timer = setInterval(() => {
      index = (index + 1) % examples.length;
      if (!draft.value && document.activeElement !== box.element) example.value = examples[index] ?? "";
    }, 6000);
    return () => clearInterval(timer);
  }, [examples.join("\n")]);
  return words.value.placeholder(example.value);
}

function offersFor(text: string, caret: number, history: boolean): Offer[] {
  if (history) {
    return recent.value.slice(0, 8).map((query) => ({ text: query, shown: query, help: "", caret: query.length }));
  }
  const help = words.value.keyHelp;
  return completions(text, caret, library.value?.tags ?? []).map((found) => ({
    text: text.slice(0, found.start) + found.text + text.slice(found.end),
    shown: found.text,
    help: help[found.text] ?? "",
    caret: found.start + found.text.length,
  }));
}

export function SearchBox() {
  const w = words.value;
  const input = useRef<HTMLInputElement>(null);
  const [offers, setOffers] = useState<Offer[]>([]);
  const [chosen, setChosen] = useState(-1);
  const [history, setHistory] = useState(false);
  const placeholder = usePlaceholder();
  useLayoutEffect(() => {
    box.element = input.current;
  }, []);

  const show = (found: Offer[], past: boolean, pick = -1): void => {
    setOffers(found);
    setHistory(past);
    setChosen(pick);
  };
  const close = (): void => show([], false);
  const take = (offer: Offer): void => {
    draft.value = offer.text;
    close();
    if (history) return searchText(offer.text);
    live.typed();
    input.current?.focus();
    requestAnimationFrame(() => input.current?.setSelectionRange(offer.caret, offer.caret));
  };
  const onKey = (event: KeyboardEvent): void => {
    const down = event.key === "ArrowDown";
    if (down || event.key === "ArrowUp") {
      event.preventDefault();
      if (!offers.length) return show(offersFor(draft.value, 0, true), true, 0);
      const last = offers.length - 1;
      setChosen((old) => (down ? (old >= last ? 0 : old + 1) : old <= 0 ? last : old - 1));
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (offers.length) close();
      else if (draft.value) {
        draft.value = "";
        live.typed();
      } else input.current?.blur();
    } else if (event.key === "Tab" && offers.length && chosen >= 0 && !history) {
      event.preventDefault();
      take(offers[chosen] as Offer);
    }
  };
  return (
    <form
      class="box"
      role="search"
      aria-label={w.search}
      onSubmit={(event) => {
        event.preventDefault();
        const offer = offers[chosen];
        if (offer) return take(offer);
        close();
        searchText(draft.value);
        document.getElementById("main")?.focus({ preventScroll: true }); // from here letters are shortcuts
      }}
    >
      <Icon name="search" />
      <input
        ref={input}
        type="text"
        role="combobox"
        aria-label={w.searchLabel}
        aria-expanded={offers.length > 0}
        aria-controls="offers"
        aria-autocomplete="list"
        aria-activedescendant={chosen >= 0 ? `offer-${chosen}` : undefined}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        enterkeyhint="search"
        maxLength={2000}
        placeholder={placeholder}
        value={draft.value}
        onInput={(event) => {
          const { value, selectionStart } = event.currentTarget;
          draft.value = value;
          show(offersFor(value, selectionStart ?? value.length, false), false);
          if (!event.isComposing) live.typed();
        }}
        onCompositionEnd={live.typed}
        onClick={() => {
          if (!draft.value && recent.value.length) show(offersFor("", 0, true), true);
        }}
        onKeyDown={onKey}
        onBlur={() => {
          close();
          live.stop();
        }}
      />
      {draft.value && (
        <button
          type="button"
          class="quiet"
          aria-label={w.clear}
          onClick={() => {
            draft.value = "";
            live.typed();
            input.current?.focus();
          }}
        >
          <Icon name="close" />
        </button>
      )}
      <button type="submit" class="go">
        {w.search}
      </button>
      <Offers offers={offers} chosen={chosen} history={history} take={take} />
    </form>
  );
}

function Offers(props: { offers: Offer[]; chosen: number; history: boolean; take: (offer: Offer) => void }) {
  const { offers, chosen, history, take } = props;
  const w = words.value;
  return (
    <div class="offers" hidden={!offers.length}>
      {history && offers.length > 0 && (
        <p>
          {w.recent}
          <button
            type="button"
            class="plain"
            tabIndex={-1}
            onPointerDown={(event) => event.preventDefault()}
            onClick={forget}
          >
            {w.clearRecent}
          </button>
        </p>
      )}
      <ul id="offers" role="listbox" aria-label={history ? w.recent : w.suggestions}>
        {offers.map((offer, index) => (
          <li
            key={offer.shown}
            id={`offer-${index}`}
            role="option"
            aria-selected={index === chosen}
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => take(offer)}
          >
            <span>{offer.shown}</span>
            {offer.help && <small>{offer.help}</small>}
          </li>
        ))}
      </ul>
    </div>
  );
}
