import type { ComponentChildren } from "preact";
import { bytes } from "../lib/text";
import { library } from "../state/library";
import { change, settings, words, type Settings } from "../state/settings";
import { LANGUAGES, type Language } from "../strings";
import { Dialog } from "./Dialog";
import { Prose } from "./Prose";

interface ChoiceProps<K extends "theme" | "line" | "language"> {
  name: K;
  label: string;
  options: Record<Settings[K], string>;
  children?: ComponentChildren;
}

function Choice<K extends "theme" | "line" | "language">({ name, label, options, children }: ChoiceProps<K>) {
  const keys = Object.keys(options) as Settings[K][];
  return (
    <fieldset class="choice">
      <legend>{label}</legend>
      <div class="segments">
        {keys.map((key) => (
          <label key={key}>
            <input
              type="radio"
              name={name}
              checked={settings.value[name] === key}
              onChange={() => change({ [name]: key })}
            />
            <span>{options[key]}</span>
          </label>
        ))}
      </div>
      {children}
    </fieldset>
  );
}

type Flag = "fold" | "autoplay" | "live" | "loop" | "singleKeys";

function Switch({ name, label, help }: { name: Flag; label: string; help?: string }) {
  return (
    <label class="check">
      <input
        type="checkbox"
        role="switch"
        checked={settings.value[name]}
        onChange={(event) => change({ [name]: event.currentTarget.checked })}
      />
      <span>
        {label}
        {help && <small>{help}</small>}
      </span>
    </label>
  );
}

export function SettingsDrawer() {
  const w = words.value;
  const names = Object.fromEntries(Object.entries(LANGUAGES).map(([key, { name }]) => [key, name]));
  return (
    <Dialog title={w.settings} side>
      <Choice name="theme" label={w.theme} options={w.themes} />
      <Choice name="line" label={w.lineSetting} options={w.lines}>
        <p class="hint">{w.lineHelp[settings.value.line]}</p>
      </Choice>
      <Switch name="live" label={w.live} help={w.liveHelp} />
      <Switch name="fold" label={w.foldSetting} help={w.foldHelp} />
      <Switch name="autoplay" label={w.autoplay} />
      <Switch name="loop" label={w.loopSetting} />
      <Switch name="singleKeys" label={w.singleKeys} help={w.singleKeysHelp} />
      <Choice name="language" label={w.language} options={names as Record<Language, string>} />
      <About />
    </Dialog>
  );
}

function About() {
  const w = words.value;
  const shown = library.value;
  if (!shown) return null;
  return (
    <section class="facts-of">
      <h3>{w.about}</h3>
      <dl>
        {shown.folder && (
          <>
            <dt>{w.path}</dt>
            <dd>
              <bdi>{shown.folder}</bdi>
            </dd>
          </>
        )}
        <dt>{w.model}</dt>
        <dd>
          {shown.encoder.name}
          {shown.model !== "zero-shot" && `, ${shown.model}`}
        </dd>
        <dt>{w.calibration}</dt>
        <dd>{shown.calibrated ? w.calibrated : w.uncalibratedWhy}</dd>
        <dt>{w.indexSize}</dt>
        <dd>{bytes(shown.bytes, w.locale)}</dd>
      </dl>
      {shown.encoder.limits && (
        <p class="hint">
          <Prose text={shown.encoder.limits} />
        </p>
      )}
    </section>
  );
}
