// How sure a hit is: a shape, a word and, on asking, what the word means.
import type { Confidence as Sure, Hit } from "../api";
import type { Strings } from "../strings";
import { decimal } from "../lib/text";
import { words } from "../state/settings";

export const SHAPES: Record<Sure, string> = {
  confident: "M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1z",
  related: "M6 1a5 5 0 0 0 0 10z",
  "nothing found": "",
  "not calibrated": "",
};

export const wordOf = (sure: Sure, w: Strings): string =>
  ({ confident: w.confident, related: w.related, "nothing found": w.guess, "not calibrated": w.uncalibrated })[sure];

export const whyOf = (sure: Sure, w: Strings): string =>
  ({
    confident: w.confidentWhy,
    related: w.relatedWhy,
    "nothing found": w.guessWhy,
    "not calibrated": w.uncalibratedWhy,
  })[sure];

const perHundred = (p: number, w: Strings): string => (p < 0.005 ? w.lessThanOne : String(Math.round(p * 100)));

/** What the chances of a hit say, in sentences. */
export function evidence(hit: Hit, w: Strings): string[] {
  const said = [whyOf(hit.confidence, w)];
  if (hit.p_topic !== null) said.push(w.outOf(perHundred(hit.p_topic, w)));
  if (hit.p_instance !== null) said.push(w.outOfOwn(perHundred(hit.p_instance, w)));
  return said;
}

export function Shape({ sure }: { sure: Sure }) {
  return (
    <svg class={`shape ${sure === "nothing found" ? "guess" : sure}`} viewBox="0 0 12 12" aria-hidden="true">
      <circle cx="6" cy="6" r="4.75" />
      {SHAPES[sure] && <path d={SHAPES[sure]} />}
    </svg>
  );
}

export function Confidence({ hit }: { hit: Hit }) {
  const w = words.value;
  if (hit.confidence === "not calibrated") {
    return (
      <span class="sure" title={w.uncalibratedWhy}>
        {w.score(decimal(hit.score, 2, w.locale))}
      </span>
    );
  }
  return (
    <span
      class={`sure ${hit.confidence === "nothing found" ? "guess" : hit.confidence}`}
      title={evidence(hit, w).join("\n")}
    >
      <Shape sure={hit.confidence} />
      {wordOf(hit.confidence, w)}
    </span>
  );
}
