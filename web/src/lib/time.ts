// Seconds for people.

const two = (value: number): string => String(value).padStart(2, "0");

/** 75.4 -> "1:15", 3675 -> "1:01:15"; with digits, 75.43 -> "1:15.4". */
export function clock(seconds: number, digits = 0): string {
  const scale = 10 ** digits;
  const ticks = Math.max(0, Math.floor(seconds * scale + 1e-6));
  const whole = Math.floor(ticks / scale);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = two(whole % 60) + (digits ? `.${String(ticks % scale).padStart(digits, "0")}` : "");
  return hours ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}

/** A moment as two clocks; tenths where it is shorter than they could show. */
export function clockSpan(start: number, end: number): string {
  const digits = end - start < 2 ? 1 : 0;
  return `${clock(start, digits)} – ${clock(end, digits)}`;
}

/** A wait or a length in the two largest units: 5400 -> [[1,"h"],[30,"min"]]. */
export function units(seconds: number): [number, "h" | "min" | "s"][] {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return [[whole, "s"]];
  if (whole < 3600) return [[Math.round(whole / 60), "min"]];
  const minutes = Math.round(whole / 60);
  return minutes % 60
    ? [
        [Math.floor(minutes / 60), "h"],
        [minutes % 60, "min"],
      ]
    : [[minutes / 60, "h"]];
}

/** "1 h 30 min" */
export const length = (seconds: number): string =>
  units(seconds)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
