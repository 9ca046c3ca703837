// Names that are too long keep their beginning and their end.

/** A name in two parts; the first may be cut by the page, the second is always seen. */
export function splitName(name: string, tail = 12): [string, string] {
  const letters = [...name];
  return letters.length <= tail + 6 ? [name, ""] : [letters.slice(0, -tail).join(""), letters.slice(-tail).join("")];
}

/** A text without case and accents, to look for words in. */
export const plain = (text: string): string => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().trim();

/** "a/b/c.mp4" -> "a/b" */
export const folderOf = (path: string): string => path.split("/").slice(0, -1).join("/");

/** What a step of "A then B" is called, from 0. */
export const stepName = (index: number): string => String.fromCharCode(65 + index);

const PLAYERS: Record<string, string> = { vlc: "VLC", iina: "IINA" };

/** "vlc" -> "VLC", as people know it. */
export const playerName = (name: string): string => PLAYERS[name] ?? name;

/** 0.4812 -> "0.48", or "0,48" */
export const decimal = (value: number, digits: number, locale: string): string =>
  value.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** 12_400_000 -> "12 MB" */
export function bytes(count: number, locale = "en-GB"): string {
  const names = ["B", "KB", "MB", "GB", "TB"];
  const power = count < 1 ? 0 : Math.min(names.length - 1, Math.floor(Math.log10(count) / 3));
  const value = count / 1000 ** power;
  return `${decimal(value, value < 10 && power ? 1 : 0, locale)} ${names[power]}`;
}

/** The name that the server gives an export of what was asked; several films are one archive. */
export function exportName(query: string, format: string, clips: number): string {
  const stem = [...query.toLowerCase().matchAll(/[\p{L}\p{N}_]+/gu)]
    .join("-")
    .slice(0, 60)
    .replace(/^-+|-+$/g, "");
  const film = format === "mp4" || format === "webm";
  return `${stem || "moments"}.${film && clips > 1 ? "zip" : format}`;
}
