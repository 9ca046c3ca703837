// Before the first folder: what is to understand the videos. Models that are here, that can be fetched, or in a folder.
import { useEffect, useState } from "preact/hooks";
import type { Model } from "../api";
import { share } from "../jobs";
import { bytes } from "../lib/text";
import { length } from "../lib/time";
import { reasonOf } from "../state/messages";
import { bring, coming, models, modelTrouble, refreshModels, stopBringing } from "../state/models";
import { words } from "../state/settings";
import { PathForm } from "./PathForm";
import { Prose } from "./Prose";

export function ModelStep() {
  const w = words.value;
  const [own, setOwn] = useState(false);
  useEffect(() => void refreshModels(), []);
  const all = models.value;
  return (
    <section class="models" aria-labelledby="models">
      <h2 id="models">{w.modelTitle}</h2>
      <p>{w.modelText}</p>
      {modelTrouble.value && (
        <p class="wrong" role="alert">
          <Prose text={modelTrouble.value} />
        </p>
      )}
      <Coming />
      <ul>
        {(all ?? []).map((model) => (
          <OneModel key={model.name} model={model} />
        ))}
      </ul>
      <button type="button" class="plain" aria-expanded={own} onClick={() => setOwn(!own)}>
        {w.modelOwn}
      </button>
      {own && (
        <PathForm
          id="model-path"
          label={w.modelOwnLabel}
          hint={w.modelOwnHint}
          action={w.modelUse}
          send={(path) => bring({ path })}
          focus
        />
      )}
    </section>
  );
}

function OneModel({ model }: { model: Model }) {
  const w = words.value;
  const use = (): void => {
    bring({ name: model.name }).catch((error: unknown) => (modelTrouble.value = reasonOf(error)));
  };
  const command = !model.here && model.install;
  return (
    <li class={model.chosen && model.here ? "chosen" : ""}>
      <div>
        <h3>
          {model.name}
          {model.recommended && <span class="tag">{w.recommended}</span>}
          {model.chosen && model.here && <span class="tag good">{w.modelChosen}</span>}
        </h3>
        <p>{w.modelKnows[model.name] ?? model.understands}</p>
        <p class="hint">
          {[w.modelLanguages(model.languages), bytes(model.bytes, w.locale), model.licence].filter(Boolean).join(" · ")}
        </p>
        {command && (
          <p class="hint">
            {w.modelInstall} <code>{model.install}</code>
          </p>
        )}
      </div>
      {!command && !(model.chosen && model.here) && (
        <button type="button" class={model.recommended ? "go" : ""} disabled={coming.value !== null} onClick={use}>
          {model.here ? w.modelUse : w.modelGet(bytes(model.bytes, w.locale))}
          <span class="unseen"> {model.name}</span>
        </button>
      )}
    </li>
  );
}

function Coming() {
  const w = words.value;
  const job = coming.value;
  if (!job) return null;
  const { done, total, eta_s: eta } = job.progress;
  return (
    <div class="coming" role="status">
      <p>
        {w.modelComing}
        {total ? ` · ${w.ofBytes(bytes(done, w.locale), bytes(total, w.locale))}` : ""}
        {eta !== null && ` · ${w.eta(length(eta))}`}
      </p>
      <progress value={share(job) ?? undefined} max={1} aria-label={w.modelComing} />
      <button type="button" class="small" onClick={() => void stopBringing()}>
        {w.cancel}
      </button>
    </div>
  );
}
