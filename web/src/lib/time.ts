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

/** "June 2024" */
export const monthOf = (time: number, locale: string): string =>
  new Date(time * 1000).toLocaleDateString(locale, { month: "long", year: "numeric" });

/** "3 Jun 2024" */
export const day = (time: number, locale: string): string =>
  new Date(time * 1000).toLocaleDateString(locale, { day: "numeric", month: "short", year: "numeric" });

/** "5 minutes ago"; the words say how. */
export function ago(time: number, { locale, justNow }: { locale: string; justNow: string }): string {
  const seconds = time - Date.now() / 1000;
  const say = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  for (const [unit, size] of [
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ] as const) {
    if (seconds <= -size) return say.format(Math.round(seconds / size), unit);
  }
  return justNow;
}

/** A moment as two clocks; tenths where it is shorter than they could show. */
export function clockSpan(start: number, end: number): string {
  if (end - start < 0.15) return clock(start, 1); // an instant
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
