// Moments out of the page: clips, or a list that an editor, a spreadsheet or a player reads.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, type ExportFormat, type Job, type Span } from "../api";
import { ended, follow, share } from "../jobs";
import { clock } from "../lib/time";
import { bytes } from "../lib/text";
import { bestOf, targetSpan } from "../state/actions";
import { reasonOf } from "../state/messages";
import * as player from "../state/player";
import { askedText, lines } from "../state/search";
import { words } from "../state/settings";
import { Dialog } from "./Dialog";

interface Choice {
  key: string;
  label: string;
  clips: Span[];
}

const FORMATS: readonly ExportFormat[] = [
  ...(["mp4", "webm", "xml", "fcpxml", "otio", "edl"] as const),
  ...(["markers.edl", "markers.xml", "markers.fcpxml", "markers.otio", "csv", "json", "vtt"] as const),
];
const MOST = 200;

function useChoices(): Choice[] {
  const w = words.value;
  const [what, target] = [player.opened.value, targetSpan()];
  const found: Choice[] = [];
  if (target) {
    const span = `${clock(target.start, 1)} – ${clock(target.end, 1)}`;
    const name = player.range.value ? w.exportRange : w.exportMoment;
    found.push({ key: "target", label: `${name}, ${span}`, clips: [target] });
  }
  const { moments } = player.curve.value;
  if (what && moments.length > 1) {
    const clips = moments.map(({ start, end }) => ({ video_id: what.id, start, end }));
    found.push({ key: "video", label: w.exportVideo(moments.length), clips });
  }
  const above = lines.value.above.filter((hit) => hit.state !== "missing").slice(0, MOST);
  if (above.length > 1) found.push({ key: "best", label: w.exportBest(above.length), clips: above.map(bestOf) });
  return found;
}

export function ExportDialog() {
  const w = words.value;
  const choices = useChoices();
  const [key, setKey] = useState(choices[0]?.key ?? "");
  const [format, setFormat] = useState<ExportFormat>("mp4");
  const [before, setBefore] = useState(0);
  const [after, setAfter] = useState(0);
  const [job, setJob] = useState<Job | null>(null);
  const [wrong, setWrong] = useState("");
  const stop = useRef<() => void>(() => undefined);
  useEffect(() => () => stop.current(), []);
  const clips = choices.find((choice) => choice.key === key)?.clips ?? [];
  const send = async (): Promise<void> => {
    setWrong("");
    try {
      const order = { format, query: askedText.value, clips, before_s: before, after_s: after };
      stop.current = follow(await api.export(order), (news) => {
        setJob(news);
        if (news.status === "failed") setWrong(news.error?.message ?? w.failed(""));
      });
    } catch (error) {
      setWrong(reasonOf(error));
    }
  };
  const busy = job !== null && !ended(job);
  return (
    <Dialog title={w.exportTitle}>
      <form
        class="form"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <fieldset class="choice">
          <legend>{w.exportWhat}</legend>
          {choices.map((choice) => (
            <label key={choice.key} class="check">
              <input type="radio" name="what" checked={choice.key === key} onChange={() => setKey(choice.key)} />
              <span>{choice.label}</span>
            </label>
          ))}
        </fieldset>
        <label class="field">
          {w.exportFormat}
          <select value={format} onChange={(event) => setFormat(event.currentTarget.value as ExportFormat)}>
            {FORMATS.map((name) => (
              <option key={name} value={name}>
                {w.formats[name]}
              </option>
            ))}
          </select>
        </label>
        <div class="pair">
          <Seconds label={w.exportBefore} value={before} set={setBefore} />
          <Seconds label={w.exportAfter} value={after} set={setAfter} />
        </div>
        {wrong && <p role="alert">{w.failed(wrong)}</p>}
        <Outcome job={job} />
        <button type="submit" class="go" disabled={busy || !clips.length}>
          {busy ? w.exporting : w.export}
        </button>
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

function Outcome({ job }: { job: Job | null }) {
  const w = words.value;
  if (!job) return null;
  if (!ended(job)) return <progress value={share(job) ?? undefined} max={1} aria-label={w.exporting} />;
  const { url, name, bytes: size } = job.result ?? {};
  if (job.status !== "done" || typeof url !== "string") return null;
  return (
    <p class="outcome" role="status">
      <a href={url} download={String(name)}>
        {w.download}
      </a>{" "}
      <bdi>{w.exportReady(String(name), bytes(Number(size)))}</bdi>
    </p>
  );
}
