// Why a video stands where it stands, in sentences and numbers, and word by word.
import type { Hit, Why as Parts, Word } from "../api";
import { decimal } from "../lib/text";
import { clock } from "../lib/time";
import * as player from "../state/player";
import { words } from "../state/settings";
import { found, looking, trouble } from "../state/why";
import { evidence } from "./Confidence";

export function Why() {
  const w = words.value;
  const hit = player.opened.value?.hit ?? null;
  if (!hit && !player.inside.value) return <p class="hint">{w.whyNoCurve}</p>;
  return (
    <details class="why" open={looking.value} onToggle={(event) => (looking.value = event.currentTarget.open)}>
      <summary>{w.why}</summary>
      {hit && <Numbers hit={hit} />}
      {found.value && <EachWord parts={found.value} />}
      {trouble.value && <p class="wrong">{w.failed(trouble.value)}</p>}
    </details>
  );
}

function Numbers({ hit }: { hit: Hit }) {
  const w = words.value;
  const here = player.shareAt(player.second.value + 0.5);
  return (
    <>
      {evidence(hit, w).map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
      <dl>
        <dt>{w.whyScore}</dt>
        <dd>{decimal(hit.score, 3, w.locale)}</dd>
        {here !== null && (
          <>
            <dt>{w.whyHere}</dt>
            <dd>{here} / 100</dd>
          </>
        )}
        {hit.quote && (
          <>
            <dt>{w.whyWords}</dt>
            <dd>“{hit.quote}”</dd>
          </>
        )}
      </dl>
    </>
  );
}

/** 0.1394 -> "+0.139"; what rounds to nothing has no sign. */
function signed(value: number): string {
  const size = decimal(Math.abs(value), 3, words.value.locale);
  return Math.abs(value) >= 0.0005 ? `${value < 0 ? "−" : "+"}${size}` : size;
}

function EachWord({ parts }: { parts: Parts }) {
  const w = words.value;
  const adds = parts.words.map((word) => word.adds ?? 0);
  const low = Math.min(0, ...adds);
  const wide = Math.max(0, ...adds) - low || 1;
  const steps = parts.at.map((_, step) => parts.words.filter((word) => word.step === step));
  return (
    <section class="each">
      <h3>{w.whyEach(parts.at.map((at) => clock(at)).join(", "))}</h3>
      <p class="hint">{w.whyEachHint}</p>
      {steps.map((step, index) => (
        <ol key={index}>
          {step.map((word, place) => (
            <Row key={place} word={word} zero={(-low / wide) * 100} length={((word.adds ?? 0) / wide) * 100} />
          ))}
        </ol>
      ))}
      {parts.branches && <Branches {...parts.branches} />}
    </section>
  );
}

function Row({ word: { word, adds }, zero, length }: { word: Word; zero: number; length: number }) {
  const w = words.value;
  const lowers = adds !== null && signed(adds).startsWith("−");
  return (
    <li>
      <bdi>{word}</bdi>
      <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
        <rect
          class={lowers ? "lowers" : "adds"}
          x={Math.min(zero, zero + length)}
          width={Math.abs(length)}
          height="10"
        />
        <path d={`M${zero} 0V10`} />
      </svg>
      {adds === null ? (
        <span title={w.whyOnly}>
          –<span class="unseen"> {w.whyOnly}</span>
        </span>
      ) : (
        <span title={lowers ? w.whyLowers : undefined}>
          {signed(adds)}
          {lowers && <span class="unseen"> {w.whyLowers}</span>}
        </span>
      )}
    </li>
  );
}

/** What both branches give: together the score of the moment; in hundredths where neither takes from it. */
function Branches({ frame, clip }: { frame: number; clip: number }) {
  const w = words.value;
  const whole = frame + clip;
  const part = (value: number): string =>
    frame >= 0 && clip >= 0 && whole > 0 ? `${signed(value)} (${Math.round((100 * value) / whole)} %)` : signed(value);
  return (
    <dl>
      <dt>{w.whyBranches}</dt>
      <dd>
        {w.whyFrames} {part(frame)}, {w.whyClips} {part(clip)}
      </dd>
    </dl>
  );
}
