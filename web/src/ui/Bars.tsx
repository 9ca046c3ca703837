// The drawing of a strip: bars whose height and colour are the relevance, and brackets around moments.
import { useMemo } from "preact/hooks";
import type { Moment } from "../api";
import { barPaths } from "../lib/pool";
import { RAMP } from "../lib/ramp";

interface Props {
  values: readonly number[];
  step: number; // seconds of one value
  range: readonly [number, number];
  moments: readonly Moment[];
  best: Moment | null;
  duration: number;
  width: number;
  tall: number;
}

function bracket(moment: Moment, { duration, width, tall }: Props): string {
  const left = Math.max(1, Math.min(width - 5, (moment.start / duration) * width)); // one at the very end stays wide enough
  const right = Math.min(width - 1, Math.max(left + 4, (moment.end / duration) * width));
  const foot = Math.min(4, (right - left) / 2);
  const [x0, x1, y1] = [left.toFixed(1), right.toFixed(1), tall - 1];
  return `M${x0} 1h${foot}M${x0} 1V${y1}h${foot}M${x1} 1h-${foot}M${x1} 1V${y1}h-${foot}`;
}

export function Bars(props: Props) {
  const { values, step, range, moments, best, duration, width, tall } = props;
  const [low, high] = range;
  const wide = duration > 0 ? (width * values.length * step) / duration : width;
  const paths = useMemo(
    () => (width > 0 ? barPaths(values, [low, high], wide, tall, RAMP.length) : []),
    [values, low, high, wide, tall],
  );
  if (width <= 0) return null;
  return (
    <svg class="bars" width={width} height={tall} viewBox={`0 0 ${width} ${tall}`} aria-hidden="true">
      {duration > 0 &&
        moments.map((moment) => (
          <rect
            key={moment.start}
            class="span"
            x={(moment.start / duration) * width}
            width={Math.max(2, ((moment.end - moment.start) / duration) * width)}
            y="0"
            height={tall}
          />
        ))}
      {paths.map((path, step) => path && <path key={step} fill={RAMP[step]} d={path} />)}
      {duration > 0 &&
        moments.map((moment) => (
          <path key={moment.start} class={moment === best ? "bracket best" : "bracket"} d={bracket(moment, props)} />
        ))}
    </svg>
  );
}
