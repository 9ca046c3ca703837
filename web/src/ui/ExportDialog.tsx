// Moments out of the page: clips, or a list that an editor, a spreadsheet or a player reads.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, type Clip, type ExportFormat, type Hit, type Job, type Moment } from "../api";
import { ended, follow, share } from "../jobs";
import { clock } from "../lib/time";
import { bytes, exportName } from "../lib/text";
import { targetSpan } from "../state/actions";
import { dialog, reasonOf } from "../state/messages";
import * as player from "../state/player";
import { askedText, lines } from "../state/search";
import { words } from "../state/settings";
import { Dialog } from "./Dialog";

interface Choice {
  key: string;
  label: string;
  clips: Clip[];
}

const MOST = 200;

type Kind = "films" | "cuts" | "markers" | "tables";
const KINDS: readonly Kind[] = ["films", "cuts", "markers", "tables"];

function kindOf(format: ExportFormat): Kind {
  if (/(mp4|webm)$/.test(format)) return "films";
  if (format.startsWith("markers.")) return "markers";
  return format === "csv" || format === "json" || format === "vtt" ? "tables" : "cuts";
}

/** A moment with what its hit says of it, so that tables say it too. */
const clipOf = ({ start, end }: Moment, id: string, hit: Hit | null): Clip => ({
  video_id: id,
  start,
  end,
  score: hit?.score ?? 0,
  confidence: hit?.confidence ?? "not calibrated",
});

function useChoices(): Choice[] {
  const w = words.value;
  const [what, target] = [player.opened.value, targetSpan()];
  const found: Choice[] = [];
  const { moments, best } = player.curve.value;
  const spanned = ({ start, end }: Moment): string => `${clock(start, 1)} – ${clock(end, 1)}`;
  if (what && target && player.range.value) {
    const label = `${w.exportRange}, ${spanned(target)}`;
    found.push({ key: "range", label, clips: [clipOf(target, what.id, what.hit)] });
  }
  const moment = moments[player.insideMoment.value - 1] ?? best;
  if (what && moment) {
    const label = `${w.exportMoment}, ${spanned(moment)}`;
    found.push({ key: "moment", label, clips: [clipOf(moment, what.id, what.hit)] });
  }
  if (what && moments.length > 1) {
    const clips = moments.map((one) => clipOf(one, what.id, what.hit));
    found.push({ key: "video", label: w.exportVideo(moments.length), clips });
  }
  const above = lines.value.above.filter((hit) => hit.state !== "missing").slice(0, MOST);
  if (above.length > 1) {
    const clips = above.map((hit) => clipOf(hit, hit.video_id, hit));
    found.push({ key: "best", label: w.exportBest(above.length), clips });
  }
  return found;
}

export function ExportDialog() {
  const w = words.value;
  const choices = useChoices();
  const [key, setKey] = useState(choices[0]?.key ?? "");
  const [format, setFormat] = useState<ExportFormat>("mp4");
  const [before, setBefore] = useState(0);
  const [after, setAfter] = useState(0);
  const [fast, setFast] = useState(false);
  const [job, setJob] = useState<Job | null>(null);
  const [wrong, setWrong] = useState("");
  const stop = useRef<() => void>(() => undefined);
  const busy = job !== null && !ended(job);
  const running = useRef<string | null>(null);
  running.current = busy ? job.id : null;
  const forget = (): void => {
    stop.current();
    if (running.current) void api.cancel(running.current).catch(() => undefined);
    setJob(null);
    setWrong("");
  };
  useEffect(() => {
    return () => {
      stop.current();
      if (running.current) void api.cancel(running.current).catch(() => undefined);
    };
  }, []);
  /** Another choice is another file: what was made for the one before is not offered any more. */
  const change = (set: () => void): void => {
    forget();
    set();
  };
  const clips = choices.find((choice) => choice.key === key)?.clips ?? [];
  const send = async (): Promise<void> => {
    setWrong("");
    try {
      const order = { format, query: askedText.value, clips, before_s: before, after_s: after, fast: film && fast };
      stop.current = follow(await api.export(order), (news) => {
        setJob(news);
        if (news.status === "failed") setWrong(news.error?.message ?? w.failed(""));
      });
    } catch (error) {
      setWrong(reasonOf(error));
    }
  };
  const seconds = clips.reduce((sum, clip) => sum + clip.end - clip.start + before + after, 0);
  const [film, reel] = [kindOf(format) === "films", format.startsWith("reel.")];
  return (
    <Dialog title={w.exportTitle}>
      <form
        class="form"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <fieldset>
          <legend>{w.exportWhat}</legend>
          {choices.map((choice, index) => (
            <label key={choice.key} class="check">
              <input
                type="radio"
                name="what"
                autofocus={index === 0}
                checked={choice.key === key}
                onChange={() => change(() => setKey(choice.key))}
              />
              <span>{choice.label}</span>
            </label>
          ))}
        </fieldset>
        <label class="field">
          {w.exportFormat}
          <select
            value={format}
            onChange={(event) => {
              const next = event.currentTarget.value as ExportFormat;
              change(() => setFormat(next));
            }}
          >
            {KINDS.map((kind) => (
              <optgroup key={kind} label={w.formatKinds[kind]}>
                {(Object.keys(w.formats) as ExportFormat[])
                  .filter((name) => kindOf(name) === kind)
                  .map((name) => (
                    <option key={name} value={name}>
                      {w.formats[name]}
                    </option>
                  ))}
              </optgroup>
            ))}
          </select>
        </label>
        <div class="pair">
          <Seconds label={w.exportBefore} value={before} set={(value) => change(() => setBefore(value))} />
          <Seconds label={w.exportAfter} value={after} set={(value) => change(() => setAfter(value))} />
        </div>
        {film && (
          <label class="check">
            <input
              type="checkbox"
              checked={fast}
              onChange={(event) => {
                const next = event.currentTarget.checked;
                change(() => setFast(next));
              }}
            />
            <span>
              {w.exportFast}
              <small>{w.exportFastHelp}</small>
            </span>
          </label>
        )}
        <p class="hint">
          {w.exportGives(exportName(askedText.value, format, clips.length))}{" "}
          {film && !fast && w.exportFilm(reel ? 1 : clips.length, clock(seconds))}
        </p>
        {wrong && (
          <p role="alert" class="wrong">
            {w.failed(wrong)}
          </p>
        )}
        <div class="row">
          <Made job={job} />
          {!(job && job.status === "done") && (
            <button type="submit" class="go" disabled={busy || !clips.length}>
              {busy ? w.exporting : w.exportMake}
            </button>
          )}
          <button type="button" onClick={() => (busy ? forget() : (dialog.value = null))}>
            {job?.status === "done" ? w.close : w.cancel}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Seconds({ label, value, set }: { label: string; value: number; set: (value: number) => void }) {
  return (
    <label class="field">
      {label}
      <input
        type="number"
        min="0"
        max="60"
        step="0.5"
        value={value}
        onInput={(event) => set(Math.max(0, event.currentTarget.valueAsNumber || 0))}
      />
    </label>
  );
}

/** How far it is; then the file that there is, with its name and its size. */
function Made({ job }: { job: Job | null }) {
  const w = words.value;
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => link.current?.focus(), [job?.status]);
  if (!job) return null;
  if (!ended(job)) return <progress value={share(job) ?? undefined} max={1} aria-label={w.exporting} />;
  const { url, name, bytes: size } = job.result ?? {};
  if (job.status !== "done" || typeof url !== "string") return null;
  return (
    <p class="outcome" role="status">
      <a ref={link} class="go" href={url} download={String(name)}>
        {w.download}
      </a>{" "}
      <bdi>{w.exportReady(String(name), bytes(Number(size), w.locale))}</bdi>
    </p>
  );
}
