// The left side: the ranked results, the confident line, and what there is instead of results.
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { chips, without } from "../lib/query";
import { searchAgain, searchText } from "../state/actions";
import { library } from "../state/library";
import { reasonOf } from "../state/messages";
import * as search from "../state/search";
import { change, settings, words } from "../state/settings";
import { focused, stripWidth } from "./Card";
import { Cards } from "./Cards";
import { useAfter } from "./hooks";
import { Icon } from "./Icon";
import { Limits } from "./Limits";
import { Prose } from "./Prose";
import { SaveMark } from "./Saved";

export function Results() {
  const phase = search.phase.value;
  const patience = search.settled.value || !search.answer.value ? 150 : 2000; // what is typed on blinks at no pause
  const late = useAfter(phase === "busy", patience);
  if (phase === "busy" && late) return <Skeleton />;
  if (phase === "failed") return <Failed />;
  if (!search.answer.value) return null;
  if (search.answer.value.num_asked === 0) return <Filtered />;
  return <Found busy={phase === "busy"} />;
}

function Found({ busy }: { busy: boolean }) {
  const list = useRef<HTMLDivElement>(null);
  const { above, below } = search.lines.value;
  const rows = search.rows.value;
  const answer = search.answer.value;
  const first = search.hits.value[0]?.video_id ?? null;
  useLayoutEffect(() => {
    focused.value = above[0]?.video_id ?? first;
  }, [first]);
  const cards = search.visible.value;
  useLayoutEffect(() => {
    // A card that was folded away leaves its place in the order of Tab to the first.
    if (!cards.some(({ video_id }) => video_id === focused.value)) focused.value = cards[0]?.video_id ?? first;
  }, [cards, first]);
  const view = settings.value.view;
  useEffect(() => {
    const element = list.current;
    if (!element) return;
    const measure = (): void => {
      const strip = element.querySelector(".strip");
      if (strip) stripWidth.value = Math.floor(strip.clientWidth);
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, [view, first, search.weakerOpen.value]);
  return (
    <div
      class={`found ${view}${search.outdated.value || search.unanswered.value ? " outdated" : ""}`}
      ref={list}
      aria-busy={busy}
    >
      <h1 class="unseen">{words.value.results}</h1>
      <Summary />
      {!above.length && <NoMatch />}
      {above.length > 0 && (
        <Cards key={view} rows={rows.above} total={answer?.has_more && !below.length ? -1 : rows.above.length} />
      )}
      <Below />
      <Rest />
    </div>
  );
}

function Summary() {
  const w = words.value;
  const answer = search.answer.value;
  const { above } = search.lines.value;
  const related = above.filter((hit) => hit.confidence === "related").length;
  const parts = [];
  if (answer?.verdict === "not calibrated") parts.push(w.numResults(above.length, answer.has_more));
  else {
    if (answer?.num_confident) parts.push(w.numConfident(answer.num_confident));
    if (related) parts.push(w.numRelated(related));
  }
  if (answer) parts.push(w.asked(answer.num_asked, answer.num_videos));
  const question = search.asked.value;
  const aside = question?.kind === "text" && question.aside.length > 0;
  const stale = answer !== null && library.value !== null && answer.generation !== library.value.generation;
  return (
    <div class="summary">
      <p>
        {parts.join(" · ")}
        {search.outdated.value && <strong class="enter">{w.pressEnter}</strong>}
        {answer?.indexing && <span class="tag">{w.soFar}</span>}
      </p>
      {answer?.verdict === "not calibrated" && question?.kind === "text" && <Limits />}
      {aside && answer?.verdict === "not calibrated" && <p class="hint wide">{w.asideNote}</p>}
      {stale && (
        <button type="button" class="small" onClick={searchAgain}>
          {w.moreReady} {w.searchAgain}
        </button>
      )}
      <SaveMark />
      {(above.length > 0 || search.weakerOpen.value) && <Views />}
    </div>
  );
}

/** As a list, or as a grid. */
function Views() {
  const w = words.value;
  return (
    <div class="views" role="group" aria-label={w.viewAs}>
      {(["list", "grid"] as const).map((view) => (
        <button
          key={view}
          type="button"
          class="quiet"
          aria-label={view === "list" ? w.list : w.grid}
          aria-pressed={settings.value.view === view}
          onClick={() => change({ view })}
        >
          <Icon name={view} />
        </button>
      ))}
    </div>
  );
}

function Below() {
  const w = words.value;
  const answer = search.answer.value;
  const { above, below } = search.lines.value;
  if (!answer || (!below.length && !answer.has_more) || answer.verdict === "not calibrated") return null;
  if (!below.length) return null; // more of the above is still to come
  const count = Math.max(below.length, answer.num_asked - above.length);
  const rows = search.rows.value.below;
  const open = search.weakerOpen.value;
  return (
    <>
      {above.length > 0 && <hr class="line" />}
      <button
        type="button"
        class={above.length ? "weaker" : "weaker alone"}
        aria-expanded={open}
        onClick={() => {
          search.weakerOpen.value = !open;
        }}
      >
        <Icon name="down" />
        {open ? w.hideWeaker : w.showWeaker(count)}
      </button>
      {open && (
        <Cards
          key={settings.value.view}
          rows={rows}
          total={answer.has_more ? -1 : rows.length}
          before={search.rows.value.above.length}
        />
      )}
    </>
  );
}

/** Loads the next page as its end comes near. */
function Rest() {
  const w = words.value;
  const end = useRef<HTMLDivElement>(null);
  const answer = search.answer.value;
  const wanted = answer?.has_more && (search.weakerOpen.value || !search.lines.value.below.length);
  const loaded = search.hits.value.length;
  useEffect(() => {
    const element = end.current;
    if (!element || !wanted) return;
    const observer = new IntersectionObserver(
      (seen) => {
        if (seen.some((entry) => entry.isIntersecting)) void search.loadMore();
      },
      { rootMargin: "1500px" },
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, [wanted, loaded]);
  const bottom = !answer?.has_more && loaded > 20 && (search.weakerOpen.value || !search.lines.value.below.length);
  return (
    <div class="rest" ref={end}>
      {search.loadingMore.value ? w.loadingMore : bottom ? w.endOfList : ""}
    </div>
  );
}

function Suggestions() {
  const w = words.value;
  const q = search.askedText.value;
  return (
    <ul class="ideas">
      {chips(q).map((chip) => (
        <li key={chip.text}>
          <button type="button" class="chip" onClick={() => searchText(without(q, chip))}>
            {w.tryWithout(chip.text.replace(/^-/, ""))}
          </button>
        </li>
      ))}
      <li>{w.tryCaption(library.value?.examples[0] ?? "")}</li>
    </ul>
  );
}

function NoMatch() {
  const w = words.value;
  const answer = search.answer.value;
  if (!answer) return null;
  return (
    <section class="state" aria-labelledby="no-match">
      <h2 id="no-match">{w.nothingTitle}</h2>
      <p>{w.nothingText(answer.num_asked)}</p>
      <Suggestions />
      <Limits more />
    </section>
  );
}

function Filtered() {
  const w = words.value;
  const answer = search.answer.value;
  const q = search.askedText.value;
  const filters = chips(q).filter((chip) => chip.kind === "filter");
  return (
    <section class="state" aria-labelledby="filtered">
      <h1 id="filtered">{w.filteredTitle}</h1>
      <p>{w.filteredText(answer?.num_videos ?? 0, filters.map((chip) => chip.text).join(" "))}</p>
      <div class="row">
        {filters.map((chip) => (
          <button key={chip.text} type="button" class="small" onClick={() => searchText(without(q, chip))}>
            {w.removeChip(chip.text)}
          </button>
        ))}
      </div>
    </section>
  );
}

function Failed() {
  const w = words.value;
  const error = search.failure.value;
  return (
    <section class="state" role="alert">
      <h1>{w.failedTitle}</h1>
      <p>
        <Prose text={reasonOf(error)} />
      </p>
      {(!error || error.status === 0 || error.status >= 429) && (
        <button type="button" class="small fit" onClick={searchAgain}>
          {w.tryAgain}
        </button>
      )}
    </section>
  );
}

function Skeleton() {
  const w = words.value;
  const slow = useAfter(true, 2000);
  return (
    <div class="found list" aria-busy="true">
      <div class="summary">
        <p>{slow ? w.stillSearching(library.value?.num_videos ?? 0) : w.searching}</p>
        {slow && (
          <button type="button" class="small" onClick={search.cancel}>
            {w.cancel}
          </button>
        )}
      </div>
      <ol class="cards" aria-hidden="true">
        {[0, 1, 2, 3, 4, 5].map((row) => (
          <li key={row} class="card blank">
            <article>
              <div class="thumb" />
              <div class="body">
                <i class="bar long" />
                <i class="bar" />
                <i class="strip mini" />
              </div>
            </article>
          </li>
        ))}
      </ol>
    </div>
  );
}
