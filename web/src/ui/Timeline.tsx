// The heat-strip of the player: relevance over the whole video, the playhead on it, moments in brackets, a range.
import { useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { thumbUrl } from "../api";
import { clock } from "../lib/time";
import { tip } from "../state/messages";
import * as player from "../state/player";
import { lessData, words } from "../state/settings";
import { marks } from "../state/transcript";
import type { Strings } from "../strings";
import { Bars } from "./Bars";
import { useWidth } from "./hooks";

const TALL = 48;
const GRIP = 8; // pixels around an end of the range that take hold of it
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

export function spoken(seconds: number, w: Strings): string {
  const whole = Math.floor(seconds);
  return w.spoken(Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60);
}

export function Timeline() {
  const w = words.value;
  const strip = useRef<HTMLDivElement>(null);
  const width = useWidth(strip);
  const length = player.duration.value;
  const curve = player.curve.value;
  return (
    <div class="timeline">
      <div
        ref={strip}
        class="strip"
        role="slider"
        title={w.dragHint}
        tabIndex={0}
        aria-label={w.heat}
        aria-valuemin={0}
        aria-valuemax={Math.round(length)}
        {...valueNow(w)}
        {...usePointer(strip, length)}
        onKeyDown={onKey}
        onFocus={({ currentTarget }) => {
          if (currentTarget.matches(":focus-visible")) showTip(currentTarget, player.now.value, length);
        }}
        onBlur={() => (tip.value = null)}
      >
        <Bars
          values={curve.values}
          step={curve.step}
          range={curve.range}
          moments={curve.moments}
          best={curve.best}
          duration={length}
          width={width}
          tall={TALL}
        />
        <Range length={length} width={width} />
        <SaidMarks length={length} width={width} />
        <Playhead length={length} width={width} />
      </div>
      <Axis length={length} width={width} />
    </div>
  );
}

function valueNow(w: Strings): { "aria-valuenow": number; "aria-valuetext": string } {
  const second = player.second.value;
  const count = player.curve.value.moments.length;
  const nth = player.insideMoment.value;
  const inside = nth ? w.inside(nth, count) : "";
  return {
    "aria-valuenow": second,
    "aria-valuetext": w.heatValue(spoken(second, w), player.shareAt(second + 0.5), inside),
  };
}

function onKey(event: KeyboardEvent): void {
  const length = player.duration.value;
  const far = event.shiftKey ? 10 : 1;
  const rtl = getComputedStyle(event.currentTarget as HTMLElement).direction === "rtl" ? -1 : 1;
  const time = player.now.value;
  const to = {
    ArrowRight: time + far * rtl,
    ArrowLeft: time - far * rtl,
    ArrowUp: time + far,
    ArrowDown: time - far,
    PageUp: time + 10,
    PageDown: time - 10,
    Home: 0,
    End: length,
  }[event.key];
  if (event.key === "Enter") player.toggle();
  else if (to === undefined) return;
  else {
    player.seek(to);
    showTip(event.currentTarget as HTMLElement, player.now.value, length);
  }
  event.preventDefault();
  event.stopPropagation();
}

let later = 0;

/** Time and relevance at once; the picture once the pointer rests. */
function showTip(element: HTMLElement | null, time: number, length: number): void {
  clearTimeout(later);
  if (!element || !length) return;
  const box = element.getBoundingClientRect();
  const text = words.peek().heatTip(clock(time, length < 60 ? 1 : 0), player.shareAt(time));
  const id = player.opened.peek()?.id;
  const old = tip.peek();
  const made = { x: box.left + (time / length) * box.width, y: box.top, text };
  tip.value = { ...made, image: old?.image ?? null };
  if (!id || lessData() || player.fault.peek() === "missing" || player.fault.peek() === "features_only") return;
  later = window.setTimeout(() => {
    if (tip.peek()) tip.value = { ...made, image: thumbUrl(id, time, 160) };
  }, 90);
}

type Grip = { from: number; fixed: number | null; moved: boolean };

function usePointer(strip: { current: HTMLDivElement | null }, length: number) {
  const grip = useRef<Grip | null>(null);
  const timeOf = (event: PointerEvent): number => {
    const box = strip.current?.getBoundingClientRect();
    if (!box?.width) return 0;
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * length;
  };
  return {
    onPointerDown: (event: PointerEvent): void => {
      if (event.button !== 0 || !length) return;
      strip.current?.setPointerCapture(event.pointerId);
      const time = timeOf(event);
      const near = (GRIP / (strip.current?.clientWidth || 1)) * length;
      const old = player.range.value;
      let fixed: number | null = null;
      if (old && Math.abs(old.start - time) < near) fixed = old.end;
      else if (old && Math.abs(old.end - time) < near) fixed = old.start;
      grip.current = { from: event.clientX, fixed, moved: fixed !== null };
    },
    onPointerMove: (event: PointerEvent): void => {
      const held = grip.current;
      const time = timeOf(event);
      if (!held && event.pointerType === "touch") return;
      showTip(strip.current, time, length);
      if (!held) return;
      if (!held.moved && Math.abs(event.clientX - held.from) < 5) return;
      const box = strip.current?.getBoundingClientRect();
      held.fixed ??= box ? Math.max(0, (held.from - box.left) / box.width) * length : 0;
      held.moved = true;
      const round = (value: number): number => Math.round(value * 10) / 10;
      player.range.value = { start: round(Math.min(held.fixed, time)), end: round(Math.max(held.fixed, time)) };
    },
    onPointerUp: (event: PointerEvent): void => {
      const held = grip.current;
      grip.current = null;
      if (!held) return;
      const part = player.range.value;
      if (held.moved && part) return player.seek(part.start);
      const time = timeOf(event);
      if (part && (time < part.start || time > part.end)) player.range.value = null;
      player.seek(time);
    },
    onPointerCancel: (): void => {
      grip.current = null;
    },
    onPointerLeave: (): void => {
      clearTimeout(later);
      tip.value = null;
    },
  };
}

function Range({ length, width }: { length: number; width: number }) {
  const part = player.range.value;
  if (!part || !length) return null;
  const left = (part.start / length) * width;
  return <div class="range" style={{ left: `${left}px`, width: `${((part.end - part.start) / length) * width}px` }} />;
}

/** Where words are said that somebody looks for. */
function SaidMarks({ length, width }: { length: number; width: number }) {
  if (!length) return null;
  return (
    <>
      {marks.value.map(({ start, end }) => (
        <div
          key={start}
          class="said"
          style={{ left: `${(start / length) * width}px`, width: `${Math.max(3, ((end - start) / length) * width)}px` }}
        />
      ))}
    </>
  );
}

/** Moves with the picture without drawing anything again. */
function Playhead({ length, width }: { length: number; width: number }) {
  const line = useRef<HTMLDivElement>(null);
  const place = (): void => {
    const x = length ? Math.min(1, player.now.value / length) * width : 0;
    if (line.current) line.current.style.transform = `translateX(${x}px)`;
  };
  useSignalEffect(place);
  return (
    <div
      class="playhead"
      ref={line}
      style={{ transform: `translateX(${length ? (player.now.peek() / length) * width : 0}px)` }}
    />
  );
}

function Axis({ length, width }: { length: number; width: number }) {
  if (!length || !width) return <div class="axis" />;
  const step = STEPS.find((size) => (size / length) * width >= 76) ?? 7200;
  const ticks = Array.from({ length: Math.floor(length / step) + 1 }, (_, index) => index * step);
  return (
    <div class="axis" aria-hidden="true">
      {ticks
        .filter((time) => (time / length) * width < width - 36)
        .map((time) => (
          <span key={time} style={{ left: `${(time / length) * width}px` }}>
            {clock(time)}
          </span>
        ))}
    </div>
  );
}
