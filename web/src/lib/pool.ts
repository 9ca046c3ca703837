// A curve of relevance over time, made to fit a strip of pixels.

const LIFT = 1.6; // what is drawn is a power of the share, so that a peak stands out from the noise of a long video

/** At most `bars` values, each the highest of its share: a peak is never lost. */
export function pool(values: readonly number[], bars: number): number[] {
  const count = Math.min(values.length, Math.max(1, Math.floor(bars)));
  if (!values.length) return [];
  return Array.from({ length: count }, (_, bar) => {
    const first = Math.floor((bar * values.length) / count);
    const last = Math.max(first + 1, Math.floor(((bar + 1) * values.length) / count));
    return Math.max(...values.slice(first, last));
  });
}

/** A value within the range of all results -> 0..1. */
export function height(value: number, [low, high]: readonly [number, number]): number {
  if (!(high > low)) return value > 0 ? 1 : 0;
  return Math.min(1, Math.max(0, (value - low) / (high - low)));
}

/** The value at a time, as the strip shows it. */
export function at(values: readonly number[], step: number, time: number): number | null {
  if (!values.length) return null;
  const index = Math.min(values.length - 1, Math.max(0, Math.floor(time / step)));
  return values[index] ?? null;
}

/** Bars of a strip as one path for each step of the colour ramp; `wide` pixels hold all values, which may be a little
 * more than the strip shows where the last second is a short one. */
export function barPaths(
  values: readonly number[],
  range: readonly [number, number],
  wide: number,
  tall: number,
  steps: number,
): string[] {
  const bars = pool(values, wide / 3);
  const paths = Array.from({ length: steps }, () => "");
  bars.forEach((value, index) => {
    const share = height(value, range);
    const left = Math.round((index * wide) / bars.length);
    const right = Math.max(left + 1, Math.round(((index + 1) * wide) / bars.length) - 1);
    const top = tall - Math.max(1.5, Math.round(share ** LIFT * (tall - 3) * 2) / 2);
    const step = Math.min(steps - 1, Math.floor(share ** LIFT * steps));
    paths[step] += `M${left} ${tall}V${top}H${right}V${tall}z`;
  });
  return paths;
}
