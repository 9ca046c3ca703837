import { describe, expect, it } from "vitest";
import type { Hit } from "../api";
import { fold, keysOf } from "./folds";
import { at, barPaths, height, pool } from "./pool";
import { chips, completions, filtersOf, sequence, tokens, without, withFilters } from "./query";
import { bytes, folderOf, splitName } from "./text";
import { clock, clockSpan, length } from "./time";
import { format, NOWHERE, parse, spanOf } from "./url";

describe("time", () => {
  it("is read as a clock", () => {
    expect(clock(75.4)).toBe("1:15");
    expect(clock(3675)).toBe("1:01:15");
    expect(clock(75.43, 1)).toBe("1:15.4");
    expect(clock(59.96, 1)).toBe("0:59.9");
    expect(clock(-3)).toBe("0:00");
  });
  it("shows tenths of a short moment only", () => {
    expect(clockSpan(12.2, 13.1)).toBe("0:12.2 – 0:13.1");
    expect(clockSpan(12.2, 31)).toBe("0:12 – 0:31");
  });
  it("is a length in two units at most", () => {
    expect(length(5400)).toBe("1 h 30 min");
    expect(length(7200)).toBe("2 h");
    expect(length(90)).toBe("2 min");
    expect(length(12.3)).toBe("12 s");
  });
});

describe("the address", () => {
  const place = { q: "a dog -cat", like: null, video: "sub dir/ä&b.mp4", time: 751.24, moment: 1, library: false };
  it("goes there and back", () => {
    expect(parse(new URL(format(place), "http://x/prvr/").search)).toEqual({ ...place, time: 751.2 });
    expect(format(NOWHERE)).toBe("./");
    const like = { video_id: "a@b.mp4", start: 1, end: 2.5 };
    expect(parse(new URL(format({ ...NOWHERE, like }), "http://x").search).like).toEqual(like);
  });
  it("does not believe what makes no sense", () => {
    expect(parse("?v=a&t=-3&m=1.5")).toEqual({ ...NOWHERE, video: "a" });
    expect(parse("?v=a&t=Infinity&m=0").time).toBeNull();
    expect(spanOf("a.mp4@x-2")).toBeNull();
  });
});

describe("the query", () => {
  const text = 'a dog -crowd path:"my holiday" after:2021 at 12:30 -"on a leash"';
  it("gives a chip for each filter and each negative", () => {
    expect(chips(text).map((chip) => chip.text)).toEqual([
      "-crowd",
      'path:"my holiday"',
      "after:2021",
      '-"on a leash"',
    ]);
  });
  it("takes quotes and dashes of a phone, and a unit with its number", () => {
    expect(chips("a dog –crowd path:“my film” longer:5 minutes").map((chip) => chip.text)).toEqual([
      "-crowd",
      'path:"my film"',
      "longer:5 minutes",
    ]);
  });
  it("leaves alone what stands in plain quotes", () => {
    expect(chips('path:"a “then” – b" -"x—y" tag：z').map((chip) => chip.text)).toEqual([
      'path:"a “then” – b"',
      '-"x—y"',
      "tag:z",
    ]);
  });
  it("loses one of them and nothing else", () => {
    const [crowd, path] = chips(text);
    expect(crowd && without(text, crowd)).toBe('a dog path:"my holiday" after:2021 at 12:30 -"on a leash"');
    expect(path && without(text, path)).toBe('a dog -crowd after:2021 at 12:30 -"on a leash"');
  });
  it("is limited to one channel, and to all again", () => {
    const said = 'said:"the price of coffee" path:talks';
    expect(filtersOf(said)).toMatchObject({ channel: "said", path: "talks" });
    const [chip] = chips(said);
    expect(chip && without(said, chip)).toBe("the price of coffee path:talks");
    const all = filtersOf("the price of coffee path:talks");
    expect(withFilters("the price of coffee path:talks", { ...all, channel: "said" })).toBe(said);
    expect(withFilters(said, { ...filtersOf(said), channel: "" })).toBe("the price of coffee path:talks");
    expect(withFilters(said, { ...filtersOf(said), channel: "seen", path: "" })).toBe('seen:"the price of coffee"');
    expect(filtersOf("he said: go").channel).toBe("");
    expect(completions("sa", 2, []).map(({ text }) => text)).toEqual(["said:"]);
  });
  it("knows an order from a word", () => {
    expect(tokens("a barks then b within 30s").map(({ kind }) => kind)).toEqual([
      "word",
      "word",
      "then",
      "word",
      "within",
      "word",
    ]);
    expect(sequence(" a ", "b", 30)).toBe("a then b within 30s");
    expect(sequence("a", "b", null)).toBe("a then b");
  });
  it("completes a key, and a tag of the library", () => {
    expect(completions("a dog pa", 8, []).map(({ text }) => text)).toEqual(["path:"]);
    expect(completions("a d", 3, [])).toEqual([]);
    expect(completions("x tag:fa", 8, ["family", "farm house", "work"]).map(({ text }) => text)).toEqual([
      "tag:family",
      'tag:"farm house"',
    ]);
  });
});

describe("the strip", () => {
  it("keeps every peak", () => {
    expect(pool([0, 0, 9, 0, 1, 0], 3)).toEqual([0, 9, 1]);
    expect(pool([1, 2], 10)).toEqual([1, 2]);
    expect(pool([], 10)).toEqual([]);
  });
  it("measures every value with one range", () => {
    expect(height(0.5, [0, 2])).toBe(0.25);
    expect(height(9, [0, 2])).toBe(1);
    expect(height(1, [1, 1])).toBe(1);
  });
  it("finds the value of a time, at the ends too", () => {
    expect([at([1, 2, 3], 2, 3.9), at([1, 2, 3], 2, 99), at([], 1, 0)]).toEqual([2, 3, null]);
  });
  it("draws a bar for each value, in the colour of its height", () => {
    const paths = barPaths([0, 1], [0, 1], 20, 10, 2);
    expect(paths).toEqual(["M0 10V8.5H9V10z", "M10 10V3H19V10z"]);
  });
});

describe("folds", () => {
  const hit = (video_id: string, same_as: string | null = null): Hit => ({ video_id, same_as }) as Hit;
  const hits = [hit("a"), hit("b", "a"), hit("c"), hit("d", "b"), hit("e", "gone"), hit("f", "gone")];
  const shown = (opened: string[]): string[] =>
    fold(hits, keysOf(hits), new Set(opened)).map(
      ({ hit, similar, under }) => `${under ? "-" : ""}${hit.video_id}${similar || ""}`,
    );
  it("hold what repeats the first, however far", () => expect(shown([])).toEqual(["a2", "c", "e1"]));
  it("open in place, whoever is first", () => {
    expect(shown(["a"])).toEqual(["a2", "-b", "-d", "c", "e1"]);
    expect(shown(["gone"])).toEqual(["a2", "c", "e1", "-f"]);
  });
  it("are none without keys", () => expect(fold(hits, new Map(), new Set()).length).toBe(6));
});

describe("names", () => {
  it("keep both ends", () => {
    expect(splitName("short.mp4")).toEqual(["short.mp4", ""]);
    expect(splitName("a-very-long-name-of-a-file.mp4")).toEqual(["a-very-long-name-o", "f-a-file.mp4"]);
    expect(folderOf("a/b/c.mp4")).toBe("a/b");
    expect([bytes(999), bytes(1500), bytes(12_400_000)]).toEqual(["999 B", "1.5 KB", "12 MB"]);
  });
});
