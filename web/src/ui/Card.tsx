// One result: what was found, how sure it is, and where in the video, at a glance.
import { computed, signal } from "@preact/signals";
import { Component } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { Hit } from "../api";
import { thumbUrl } from "../api";
import { clock, clockSpan, day } from "../lib/time";
import type { Row } from "../lib/folds";
import { folderOf } from "../lib/text";
import { at, height } from "../lib/pool";
import { linkTo, playHit } from "../state/actions";
import { menu, tip } from "../state/messages";
import { opened } from "../state/player";
import { isNew } from "../state/saved";
import { answer, manyFolders, mixed, toggleFold } from "../state/search";
import { lessData, words } from "../state/settings";
import { Bars } from "./Bars";
import { Confidence } from "./Confidence";
import { Icon } from "./Icon";
import { MissingActions } from "./Missing";
import { Name } from "./Name";

export const STRIP = 28;
export const stripWidth = signal(0); // all cards are equally wide: measured once for the list
export const focused = signal<string | null>(null); // the one result that Tab reaches

interface Props extends Row {
  place: number; // in its list, from 0
  nth: number; // on the page, from 1
  total: number; // cards of the list, -1 while more may come
  chunk: number; // the part of the list that it comes and goes with
}

/** Draws again only for another hit; what changes within it are signals. */
export class Card extends Component<Props> {
  override shouldComponentUpdate(next: Props): boolean {
    const old = this.props;
    return (["hit", "total", "place", "nth", "similar", "open", "under"] as const).some(
      (name) => next[name] !== old[name],
    );
  }
  override render() {
    return <CardOf {...this.props} />;
  }
}

const plainClick = (event: MouseEvent): boolean =>
  !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) && event.button === 0;

function CardOf({ hit, fold, similar, open, under, place, nth, total, chunk }: Props) {
  const w = words.value;
  const current = useMemo(() => computed(() => opened.value?.id === hit.video_id), [hit]);
  const reached = useMemo(() => computed(() => focused.value === hit.video_id), [hit]);
  const gone = hit.state === "missing";
  const seen = hit.state !== "features_only"; // there is something to take a picture of, or there was
  const span = clockSpan(hit.start, hit.end);
  const folder = manyFolders.value ? folderOf(hit.path) : ""; // where all lie in one, it says nothing
  const tab = reached.value ? 0 : -1;
  return (
    <li
      class={`card${gone ? " gone" : ""}${under ? " under" : ""}`}
      aria-current={current.value ? "true" : undefined}
      data-video={hit.video_id}
      data-chunk={chunk}
      aria-posinset={place + 1}
      aria-setsize={total}
    >
      <article>
        <Thumb
          src={seen ? hit.thumbnail_url : ""}
          duration={hit.duration_s}
          scrub={seen && !gone ? hit.video_id : null}
          onClick={() => playHit(hit)}
        />
        <div class="body">
          <div class="head">
            <span class="rank">{nth}</span>
            <h2>
              <a
                href={linkTo(hit)}
                tabIndex={tab}
                aria-label={gone ? `${hit.name}, ${w.missing}` : w.playMoment(hit.name, span)}
                onFocus={() => (focused.value = hit.video_id)}
                onClick={(event) => {
                  if (!plainClick(event)) return;
                  event.preventDefault();
                  playHit(hit);
                }}
              >
                <span class="time">{span}</span>
              </a>
            </h2>
            {!gone && <Confidence hit={hit} />}
            <button
              type="button"
              class="quiet"
              tabIndex={tab}
              aria-haspopup="menu"
              aria-label={w.more(hit.name)}
              onClick={(event) => {
                const from = event.currentTarget;
                menu.value = { hit, from, anchor: from.getBoundingClientRect() };
              }}
            >
              <Icon name="more" />
            </button>
          </div>
          <p class="file">
            <Name name={hit.name} />
            {folder && (
              <bdi class="folder" title={hit.path}>
                {w.inFolder(folder)}
              </bdi>
            )}
            <span class="date">{day(hit.modified, w.locale)}</span>
          </p>
          {gone ? <Missing hit={hit} /> : <Facts hit={hit} />}
          {!gone && <MiniStrip hit={hit} />}
          {similar > 0 && (
            <button
              type="button"
              class="similar"
              tabIndex={tab}
              aria-expanded={open}
              onClick={() => {
                focused.value = hit.video_id; // not every browser focuses what is clicked
                toggleFold(fold);
              }}
            >
              <Icon name="down" />
              <span>
                {w.similar(similar)}
                <span class="unseen">{w.similarTo(hit.name)}</span>
              </span>
            </button>
          )}
        </div>
      </article>
    </li>
  );
}

function Facts({ hit }: { hit: Hit }) {
  const w = words.value;
  const [fresh, how] = [isNew(hit.video_id), mixed.value];
  if (hit.moments.length < 2 && !hit.quote && !fresh && !how) return null;
  return (
    <p class="facts">
      {fresh && <span class="news">{w.new}</span>}
      {hit.moments.length > 1 && <span>{w.moreMoments(hit.moments.length - 1)}</span>}
      {how && <span class="channel">{w.channels[hit.channel]}</span>}
      {hit.quote && <q class="quote">{hit.quote}</q>}
    </p>
  );
}

function Missing({ hit }: { hit: Hit }) {
  const w = words.value;
  return (
    <div class="missing">
      <p>
        <strong>{w.missing}.</strong> {w.missingText}
      </p>
      <MissingActions id={hit.video_id} name={hit.name} />
    </div>
  );
}

const STILLS = 8; // that a pointer goes through

interface ThumbProps {
  src: string;
  duration: number;
  scrub?: string | null;
  onClick?: () => void; // where it lies above the link that it belongs to
}

/** A still; where `scrub` names the video, a pointer that moves over it goes through the others of it. */
export function Thumb({ src, duration, scrub = null, onClick }: ThumbProps) {
  const [still, setStill] = useState<number | null>(null);
  const move = (event: PointerEvent): void => {
    if (!scrub || event.pointerType !== "mouse" || lessData()) return;
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const share = Math.min(0.999, Math.max(0, (event.clientX - box.left) / box.width));
    setStill((Math.floor(share * STILLS) + 0.5) / STILLS);
  };
  const shown = still === null || !scrub ? src : thumbUrl(scrub, still * duration, 320);
  return (
    <div class="thumb" onClick={onClick} onPointerMove={move} onPointerLeave={() => setStill(null)}>
      {src && (
        <img
          src={shown}
          alt=""
          width="160"
          height="90"
          loading="lazy"
          decoding="async"
          onError={(event) => event.currentTarget.classList.add("broken")}
          onLoad={(event) => event.currentTarget.classList.remove("broken")}
        />
      )}
      {still !== null && <i class="scrub" style={{ insetInlineStart: `${still * 100}%` }} />}
      <span class="badge">{still === null ? clock(duration) : clock(still * duration)}</span>
    </div>
  );
}

/** A place to look and, with a pointer, to jump from; the player's strip does the same for the keyboard. */
function MiniStrip({ hit }: { hit: Hit }) {
  const w = words.value;
  const range = answer.value?.relevance_range ?? [0, 1];
  const timeAt = (event: MouseEvent): number => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * hit.duration_s;
  };
  const point = (event: PointerEvent): void => {
    if (event.pointerType === "touch") return;
    const time = timeAt(event);
    const value = at(hit.relevance, hit.relevance_step_s, time);
    const share = value === null ? null : Math.round(100 * height(value, range));
    const top = (event.currentTarget as HTMLElement).getBoundingClientRect().top;
    const image = lessData() || hit.state === "features_only" ? null : thumbUrl(hit.video_id, time, 160);
    tip.value = { x: event.clientX, y: top, text: w.heatTip(clock(time), share), image };
  };
  return (
    <div
      class="strip mini"
      onPointerMove={point}
      onPointerLeave={() => (tip.value = null)}
      onClick={(event) => playHit(hit, timeAt(event))}
    >
      <Bars
        values={hit.relevance}
        step={hit.relevance_step_s}
        range={range}
        moments={hit.moments}
        best={hit.moments[0] ?? null}
        duration={hit.duration_s}
        width={stripWidth.value}
        tall={STRIP}
      />
      <span class="unseen">{w.momentsText(hit.moments.map((m) => clockSpan(m.start, m.end)).join(", "))}</span>
    </div>
  );
}
