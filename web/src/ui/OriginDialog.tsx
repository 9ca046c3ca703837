// Which film a clip comes from, and where in it: each place plays when it is chosen.
import { useEffect, useRef } from "preact/hooks";
import type { ClipOrigin } from "../api";
import { clockSpan } from "../lib/time";
import { playPlace } from "../state/actions";
import { dialog } from "../state/messages";
import { stopTracing, traced } from "../state/origin";
import { words } from "../state/settings";
import { Thumb } from "./Card";
import { Dialog } from "./Dialog";
import { Name } from "./Name";

export function OriginDialog() {
  const w = words.value;
  const what = traced.value;
  const places = useRef<HTMLUListElement>(null);
  useEffect(() => stopTracing, []);
  useEffect(() => places.current?.querySelector("button")?.focus(), [what?.found]);
  if (!what) return null;
  const { name, found, wrong } = what;
  return (
    <Dialog title={w.originTitle(name)}>
      <div role="status" class="origins">
        {!found && !wrong && <p aria-busy="true">{w.originBusy}</p>}
        {wrong && <p class="wrong">{w.failed(wrong)}</p>}
        {found && !found.data.length && <p>{found.unseen.length ? w.originUnseen : w.originNone}</p>}
        {found && found.data.length > 0 && (
          <ul ref={places}>
            {found.data.map((one) => (
              <Place key={one.rank} one={one} />
            ))}
          </ul>
        )}
        {found && found.unseen.length > 0 && (
          <p class="hint">{w.originMaybe(found.unseen.map((one) => one.name).join(", "))}</p>
        )}
      </div>
    </Dialog>
  );
}

function Place({ one }: { one: ClipOrigin }) {
  const w = words.value;
  const span = clockSpan(one.start, one.end);
  return (
    <li>
      <button
        type="button"
        aria-label={w.playMoment(one.name, span)}
        onClick={() => {
          dialog.value = null;
          void playPlace(one.video_id, one);
        }}
      >
        <Thumb src={one.thumbnail_url} duration={one.end - one.start} />
        <span>
          <strong class="time">{span}</strong>
          <Name name={one.name} />
          <small>
            {w.originAlike(Math.round(100 * Math.max(0, one.alike)))}
            {one.mirrored && `, ${w.originMirrored}`}
          </small>
        </span>
      </button>
    </li>
  );
}
