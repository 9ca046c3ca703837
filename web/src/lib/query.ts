// The query box: tokens as the server's grammar reads them, for chips that can be removed and keys that can be completed.

export const KEYS = ["path:", "after:", "before:", "longer:", "shorter:", "tag:"] as const;
export const CHANNELS = ["seen", "said", "written"] as const;
export type Channel = (typeof CHANNELS)[number];

export interface Token {
  kind: "word" | "not" | "filter" | "channel" | "then" | "within";
  text: string; // as typed
  start: number;
  end: number;
}

const PIECE =
  /(?:longer|shorter):(?:[\d.]+|an?|one|two|three|four|five|six|seven|eight|nine|ten)\s+(?:s|m|h|secs?|mins?|hrs?|seconds?|minutes?|hours?)(?!\S)|-?(?:[A-Za-z]+:)?"(?:[^"\\]|\\.)*"?|\S+/gi;
const FILTER = new RegExp(`^(?:${KEYS.join("|")})."?`, "i");
const CHANNEL = new RegExp(`^(${CHANNELS.join("|")}):(.+)$`, "is");

const QUOTED = /^-?(?:[A-Za-z]+:)?"(?:[^"\\]|\\.)*"$/;

/** Plain quotes and dashes for those that keyboards put in their place, but not inside plain quotes; as long as before. */
const typed = (query: string): string =>
  query.replace(/-?(?:[A-Za-z]+:)?"(?:[^"\\]|\\.)*"(?=\s|$)|\S+/g, (piece) =>
    QUOTED.test(piece)
      ? piece
      : piece
          .replace(/[“”„‟«»＂]/g, '"')
          .replace(/[‐‑‒–—―−－]/g, "-")
          .replace(/：/g, ":"),
  );

/** A query cut at white space, phrases whole. */
export function tokens(query: string): Token[] {
  const found: Token[] = [];
  for (const piece of typed(query).matchAll(PIECE)) {
    const text = piece[0];
    const low = text.toLowerCase();
    let kind: Token["kind"] = "word";
    if (FILTER.test(text)) kind = "filter";
    else if (CHANNEL.test(text)) kind = "channel";
    else if (/^-["\w]/.test(text)) kind = "not";
    else if (low === "then" && found.length) kind = "then";
    else if (low === "within" && found.some((token) => token.kind === "then")) kind = "within";
    found.push({ kind, text, start: piece.index, end: piece.index + text.length });
  }
  return found;
}

/** The parts of a query that a chip shows: filters, what must not be seen, and the one channel that is looked at. */
export const chips = (query: string): Token[] =>
  tokens(query).filter(({ kind }) => kind === "filter" || kind === "not" || kind === "channel");

/** The query without one of its tokens; what was asked of one channel is asked of all. */
export function without(query: string, token: Token): string {
  const left = token.kind === "channel" ? channelOf(token.text)[1] : "";
  const parts = [query.slice(0, token.start).trim(), left, query.slice(token.end).trim()];
  return parts.filter(Boolean).join(" ");
}

/** `said:"the price"` -> the channel, and the text without its quotes. */
function channelOf(text: string): [Channel, string] {
  const [, channel = "", asked = ""] = CHANNEL.exec(text) ?? [];
  return [channel.toLowerCase() as Channel, bare(asked)];
}

/** "A", "B", 30 -> "A then B within 30s". */
export function sequence(first: string, second: string, withinS: number | null): string {
  const bound = withinS === null ? "" : ` within ${withinS}s`;
  return `${first.trim()} then ${second.trim()}${bound}`;
}

export interface Completion {
  text: string; // what the piece under the caret becomes
  start: number;
  end: number;
}

/** What the piece under the caret could become: a key, or a tag of the library after `tag:`. */
export function completions(query: string, caret: number, tags: readonly string[]): Completion[] {
  const piece = [...query.matchAll(PIECE)].find(
    (found) => found.index < caret && caret <= found.index + found[0].length,
  );
  if (!piece) return [];
  const typed = piece[0].toLowerCase();
  const [start, end] = [piece.index, piece.index + piece[0].length];
  const make = (text: string): Completion => ({ text, start, end });
  if (typed.startsWith("tag:")) {
    const part = typed.slice(4).replaceAll('"', "");
    const quote = (tag: string): string => (/\s/.test(tag) ? `tag:"${tag}"` : `tag:${tag}`);
    return tags
      .filter((tag) => tag.toLowerCase().startsWith(part) && `tag:${tag}`.toLowerCase() !== typed)
      .slice(0, 8)
      .map((tag) => make(quote(tag)));
  }
  if (typed.length < 2 || typed.includes(":")) return [];
  const keys = [...KEYS, ...CHANNELS.map((channel) => `${channel}:`)];
  return keys.filter((key) => key.startsWith(typed)).map(make);
}

/** What a search is limited to, one text a control; empty where it is not. */
export interface Filters {
  path: string;
  after: string;
  before: string;
  longer: string;
  shorter: string;
  tag: string;
  without: string;
  channel: Channel | "";
  rest: string; // the sentence itself
}

const bare = (text: string): string => text.replace(/^"(.*)"$/, "$1");

/** The filters that stand in a query, and the rest of it. */
export function filtersOf(query: string): Filters {
  const found: Filters = {
    path: "",
    after: "",
    before: "",
    longer: "",
    shorter: "",
    tag: "",
    without: "",
    channel: "",
    rest: query,
  };
  for (const token of chips(query)) {
    if (token.kind === "not") found.without = bare(token.text.slice(1));
    else if (token.kind === "channel") [found.channel] = channelOf(token.text);
    else {
      const at = token.text.indexOf(":");
      found[token.text.slice(0, at).toLowerCase() as "path"] = bare(token.text.slice(at + 1));
    }
  }
  for (let left = chips(query); left.length; left = chips(found.rest))
    found.rest = without(found.rest, left[0] as Token);
  return found;
}

/** A query with other filters than it had. */
export function withFilters(query: string, parts: Filters): string {
  const quoted = (text: string): string => (/\s/.test(text) ? `"${text.replaceAll('"', "")}"` : text);
  const { rest } = filtersOf(query);
  const said = KEYS.map((key) => [key, parts[key.slice(0, -1) as "path"].trim()] as const)
    .filter(([, value]) => value)
    .map(([key, value]) => key + quoted(value));
  if (parts.without.trim()) said.unshift(`-${quoted(parts.without.trim())}`);
  const asked = parts.channel && rest ? `${parts.channel}:"${rest.replaceAll('"', "")}"` : rest;
  return [asked, ...said].join(" ").trim();
}
