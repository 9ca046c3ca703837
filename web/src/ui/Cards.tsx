// A long list of cards of which only those near the window are in the page; the others are a gap of their height.
import { computed } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Row } from "../lib/folds";
import { Card, focused } from "./Card";

const CHUNK = 24; // cards that come and go together; divides into rows of 2, 3 and 4
const MARGIN = 1000; // pixels above and below the window that are ready
const GUESS = CHUNK * 121; // pixels of a chunk that was never drawn

interface Heights {
  known: number[]; // pixels of each chunk that was drawn, undefined for the others
  width: number; // of the list when they were measured
}

const average = (known: readonly number[]): number => {
  const drawn = known.filter((height) => height > 0);
  return drawn.length ? drawn.reduce((sum, height) => sum + height, 0) / drawn.length : GUESS;
};

/** Reads the heights of the chunks that are drawn from the children of the list. */
function measure(list: HTMLElement, heights: Heights): void {
  if (list.clientWidth !== heights.width) [heights.known, heights.width] = [[], list.clientWidth];
  const edges = new Map<number, [number, number]>();
  for (const child of list.children as HTMLCollectionOf<HTMLElement>) {
    const chunk = child.dataset["chunk"];
    if (chunk === undefined) continue;
    const { top, bottom } = child.getBoundingClientRect();
    const [first, last] = edges.get(Number(chunk)) ?? [top, bottom];
    edges.set(Number(chunk), [Math.min(first, top), Math.max(last, bottom)]);
  }
  for (const [chunk, [top, bottom]] of edges) heights.known[chunk] = bottom - top;
}

/** Chunks from the first that reaches into the window and its margin to the one after the last. */
function near(list: HTMLElement, heights: Heights, chunks: number): [number, number] {
  const usual = average(heights.known);
  let y = list.getBoundingClientRect().top;
  let [from, to] = [chunks, 0];
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    const bottom = y + (heights.known[chunk] ?? usual);
    if (bottom > -MARGIN && y < window.innerHeight + MARGIN) [from, to] = [Math.min(from, chunk), chunk + 1];
    y = bottom;
  }
  return [from, to];
}

export function Cards({ rows, total, before = 0 }: { rows: readonly Row[]; total: number; before?: number }) {
  const list = useRef<HTMLOListElement>(null);
  const heights = useRef<Heights>({ known: [], width: 0 });
  const [[from, to], setNear] = useState<[number, number]>([0, 1]);
  const chunks = Math.ceil(rows.length / CHUNK);
  const kept = useMemo(
    () => computed(() => Math.floor(rows.findIndex(({ hit }) => hit.video_id === focused.value) / CHUNK)),
    [rows],
  ).value; // the chunk that holds the focus stays, wherever the page is scrolled to
  const look = (): void => {
    if (!list.current) return;
    if (list.current.clientWidth !== heights.current.width) measure(list.current, heights.current);
    const found = near(list.current, heights.current, chunks);
    setNear((old) => (old[0] === found[0] && old[1] === found[1] ? old : found));
  };
  useLayoutEffect(() => {
    if (list.current) measure(list.current, heights.current);
    look();
  }, [rows, from, to, kept]);
  useEffect(() => {
    let frame = 0;
    const soon = (): void => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        look();
      });
    };
    window.addEventListener("scroll", soon, { passive: true });
    window.addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(frame);
      window.removeEventListener("scroll", soon);
      window.removeEventListener("resize", soon);
    };
  }, [chunks]);
  const shown = [];
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    if ((from <= chunk && chunk < to) || chunk === kept) {
      for (let place = chunk * CHUNK; place < Math.min(rows.length, (chunk + 1) * CHUNK); place += 1) {
        const row = rows[place] as Row;
        shown.push(
          <Card key={row.hit.video_id} {...row} place={place} nth={before + place + 1} total={total} chunk={chunk} />,
        );
      }
    } else {
      const height = heights.current.known[chunk] ?? average(heights.current.known);
      shown.push(<li key={`gap ${chunk}`} class="gap" aria-hidden="true" style={{ height: `${height}px` }} />);
    }
  }
  return (
    <ol class="cards" ref={list}>
      {shown}
    </ol>
  );
}
