// No library yet: choose a folder. And what is seen while it is read.
import { share } from "../jobs";
import { decimal } from "../lib/text";
import { length } from "../lib/time";
import { canAdd, dismiss, goOn, indexing, isRunning, needsModel, pauseIndexing, resume } from "../state/library";
import { copy, sayFailure } from "../state/messages";
import { chosenModel } from "../state/models";
import { words } from "../state/settings";
import { Picker } from "./AddFolder";
import { Icon } from "./Icon";
import { ModelStep } from "./ModelStep";

function Command({ text }: { text: string }) {
  const w = words.value;
  return (
    <p class="command">
      <code>{text}</code>
      <button type="button" class="small" onClick={() => void copy(text, w.copied)}>
        {w.copy}
      </button>
    </p>
  );
}

export function FirstVisit() {
  const w = words.value;
  return (
    <section class="first" aria-labelledby="first">
      <h1 id="first">{w.firstTitle}</h1>
      <p>{w.firstText}</p>
      {canAdd.value ? (
        <Steps />
      ) : (
        <>
          <p>{w.firstNoAdd}</p>
          <Command text="prvr index ~/Videos" />
        </>
      )}
      <h2>{w.firstDemo}</h2>
      <p>{w.firstDemoText}</p>
      <Command text="prvr demo --out demo && prvr serve --index demo" />
    </section>
  );
}

/** A model first, then a folder; where the server has its model already, the folder. */
function Steps() {
  const w = words.value;
  const ready = !needsModel.value || chosenModel.value !== null;
  return (
    <>
      {needsModel.value && <ModelStep />}
      {ready && (
        <section aria-labelledby="folder-step">
          {needsModel.value && <h2 id="folder-step">{w.folderTitle}</h2>}
          <Picker />
        </section>
      )}
    </>
  );
}

/** The library is being made and holds nothing yet. */
export function Reading() {
  const w = words.value;
  return (
    <section class="first" aria-labelledby="reading">
      <h1 id="reading">{w.readingTitle}</h1>
      <p>{w.readingText}</p>
    </section>
  );
}

/** A slim bar while videos are read: how many, how fast, how long, and a way to pause. */
export function IndexingBar() {
  const w = words.value;
  const job = indexing.value;
  if (!job) return null;
  if (!isRunning(job)) {
    const broken = job.status === "interrupted";
    const again = broken ? () => goOn(job) : resume.value;
    const why = job.status === "failed" ? w.indexFailed(job.error?.message ?? "") : w.paused;
    return (
      <section class="indexing ended" aria-label={w.indexing}>
        <p role="status">{broken ? w.interrupted(job.about) : why}</p>
        {again && (
          <button type="button" class="small" onClick={() => void again().catch(sayFailure)}>
            {w.resume}
          </button>
        )}
        <button type="button" class="quiet" aria-label={w.dismiss} onClick={() => void dismiss(job)}>
          <Icon name="close" />
        </button>
      </section>
    );
  }
  const { done, total, speed, eta_s: eta, current, unit } = job.progress;
  const wording = unit === "speech" || unit === "text"; // after the pictures, in seconds of film
  return (
    <section class="indexing" aria-label={w.indexing}>
      <progress value={share(job) ?? undefined} max={1} aria-label={w.indexing} />
      <p>
        <strong>{wording ? w.wording[unit] : w.indexing}</strong>
        {total === null && <span>{w.indexStarting}</span>}
        {total !== null && (
          <span>{wording ? w.wordingOf(length(done), length(total)) : w.indexingOf(done, total)}</span>
        )}
        {speed !== null && <span>{w.speed(decimal(speed, speed < 10 ? 1 : 0, w.locale))}</span>}
        {eta !== null && <span>{w.eta(length(eta))}</span>}
        {current && (
          <bdi class="current" title={current}>
            {current}
          </bdi>
        )}
      </p>
      <button type="button" class="small" onClick={() => void pauseIndexing()}>
        {w.pause}
      </button>
    </section>
  );
}
