// Why a video stands where it stands, in sentences and numbers.
import * as player from "../state/player";
import { words } from "../state/settings";
import { evidence } from "./Confidence";

export function Why() {
  const w = words.value;
  const hit = player.opened.value?.hit;
  if (!hit) return player.curve.value.values.length ? null : <p class="hint">{w.whyNoCurve}</p>;
  const here = player.shareAt(player.second.value + 0.5);
  return (
    <details class="why">
      <summary>{w.why}</summary>
      {evidence(hit, w).map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
      <dl>
        <dt>{w.whyScore}</dt>
        <dd>{hit.score.toFixed(3)}</dd>
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
      <label class="check">
        <input
          type="checkbox"
          checked={player.stretched.value}
          onChange={(event) => (player.stretched.value = event.currentTarget.checked)}
        />
        <span>
          {w.stretch} <small>{w.stretchHint}</small>
        </span>
      </label>
    </details>
  );
}
