// The right side: picture, strip and controls as one instrument; below it what it shows and what can be done with it.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Moment } from "../api";
import { clock, clockSpan } from "../lib/time";
import { folderOf, playerName, stepName } from "../lib/text";
import { copyLink, moreLikeTarget, notThisTarget, openIn, step } from "../state/actions";
import { library } from "../state/library";
import { dialog } from "../state/messages";
import * as player from "../state/player";
import { answer, asked } from "../state/search";
import { settings, words } from "../state/settings";
import { Confidence } from "./Confidence";
import { Icon, Mark, type IconName } from "./Icon";
import { Inside, RangeBar } from "./RangeBar";
import { Stage } from "./Stage";
import { Timeline } from "./Timeline";
import { Transcript } from "./Transcript";
import { Why } from "./Why";

export function Player() {
  const w = words.value;
  const what = player.opened.value;
  if (!what) {
    return (
      <div class="deck none">
        <p>
          <Mark />
          {w.playerEmpty}
        </p>
      </div>
    );
  }
  const folder = folderOf(what.path);
  return (
    <>
      <div class="deck">
        <Stage />
        <Timeline />
        <Controls />
      </div>
      <div class="about">
        <div class="title">
          <h2>
            <bdi>{what.name}</bdi>
          </h2>
          {folder && <bdi class="folder">{w.inFolder(folder)}</bdi>}
          {what.hit && <Confidence hit={what.hit} />}
        </div>
        <Notes />
        <Steps />
        <Moments />
        <div class="tools">
          <Actions />
          <RangeBar />
        </div>
        <Inside key={what.id} />
        <Transcript />
        <Why />
      </div>
    </>
  );
}

/** What is odd about the file: how it is shown, and what of its subtitles could not be read. */
function Notes() {
  const notes = player.video.value?.notes ?? [];
  if (!notes.length) return null;
  return (
    <ul class="odd" aria-label={words.value.fileNotes}>
      {notes.map((note) => (
        <li key={note}>
          <bdi>{note}</bdi>
        </li>
      ))}
    </ul>
  );
}

interface ControlProps {
  icon: IconName;
  label: string;
  run: () => void;
  pressed?: boolean;
  solid?: boolean;
  disabled?: boolean;
}

function Control({ icon, label, run, pressed, solid = false, disabled = false }: ControlProps) {
  return (
    <button type="button" aria-label={label} title={label} aria-pressed={pressed} disabled={disabled} onClick={run}>
      <Icon name={icon} solid={solid} />
    </button>
  );
}

function Controls() {
  const w = words.value;
  const [full, setFull] = useState(false);
  useEffect(() => {
    const hear = (): void => setFull(document.fullscreenElement !== null);
    document.addEventListener("fullscreenchange", hear);
    return () => document.removeEventListener("fullscreenchange", hear);
  }, []);
  const several = player.curve.value.moments.length > 0;
  const paused = player.paused.value;
  const stuck = player.fault.value !== null;
  const muted = player.muted.value;
  return (
    <div class="controls" role="group" aria-label={w.player}>
      <Control icon="previous" label={w.previousMoment} run={() => step(-1)} disabled={!several} solid />
      <Control
        icon={paused ? "play" : "pause"}
        label={paused ? w.play : w.pauseVideo}
        run={player.toggle}
        disabled={stuck}
        solid={paused}
      />
      <Control icon="next" label={w.nextMoment} run={() => step(1)} disabled={!several} solid />
      <Clock />
      <Control icon="loop" label={w.loop} run={player.toggleLoop} pressed={settings.value.loop} />
      <select
        aria-label={w.rate}
        value={player.rate.value}
        onChange={(event) => player.setRate(Number(event.currentTarget.value))}
      >
        {[0.25, 0.5, 0.75, 1, 1.25, 1.5, 2].map((rate) => (
          <option key={rate} value={rate}>
            {rate}×
          </option>
        ))}
      </select>
      {player.video.value?.subtitles_url && <Subtitles />}
      <Control
        icon={muted ? "silent" : "sound"}
        label={muted ? w.unmute : w.mute}
        run={() => player.setMuted(!muted)}
      />
      <Control icon={full ? "small" : "full"} label={full ? w.leaveFullScreen : w.fullScreen} run={toggleFull} />
    </div>
  );
}

export function toggleFull(): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void player.stage()?.requestFullscreen?.();
}

function Subtitles() {
  const [on, setOn] = useState(true);
  const toggle = (): void => {
    for (const track of player.stage()?.querySelector("video")?.textTracks ?? [])
      track.mode = on ? "disabled" : "showing";
    setOn(!on);
  };
  return <Control icon="subtitles" label={words.value.subtitles} run={toggle} pressed={on} />;
}

function Clock() {
  const digits = player.duration.value < 600 && player.paused.value ? 1 : 0;
  return (
    <p class="clock">
      <span>{clock(digits ? player.now.value : player.second.value, digits)}</span>
      <span class="of"> / {clock(player.duration.value)}</span>
    </p>
  );
}

/** What was asked in an order of time: where each part of it is. */
function Steps() {
  const w = words.value;
  const steps = player.inside.value ? [] : (player.opened.value?.hit?.steps ?? []);
  const names = answer.value?.parsed?.steps ?? [];
  if (steps.length < 2) return null;
  return (
    <ol class="moments" aria-label={w.steps}>
      {steps.map((moment, index) => (
        <li key={index}>
          <button type="button" onClick={() => goTo(moment)}>
            <span class="nth">{stepName(index)}</span>
            <bdi class="step">{names[index]}</bdi> {clockSpan(moment.start, moment.end)}
          </button>
        </li>
      ))}
    </ol>
  );
}

function goTo(moment: Moment): void {
  player.seek(moment.start);
  void player.start();
}

function Moments() {
  const w = words.value;
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => {
    // Where the row is longer than its place, the current moment is seen.
    const [row, chip] = [list.current, list.current?.querySelector<HTMLElement>("[aria-current]")];
    if (row && chip) row.scrollLeft = chip.offsetLeft - row.offsetLeft - 24;
  });
  const { moments, best } = player.curve.value;
  const current = player.insideMoment.value;
  if (!moments.length) return null;
  return (
    <ul ref={list} class="moments" aria-label={w.moments}>
      {moments.map((moment, index) => (
        <li key={moment.start}>
          <button
            type="button"
            class={moment === best ? "best" : ""}
            aria-current={current === index + 1 ? "true" : undefined}
            aria-label={`${w.moment(index + 1)}, ${clockSpan(moment.start, moment.end)}`}
            onClick={() => goTo(moment)}
          >
            <span class="nth">{index + 1}</span>
            {clockSpan(moment.start, moment.end)}
          </button>
        </li>
      ))}
    </ul>
  );
}

function Actions() {
  const w = words.value;
  const some = player.target.value !== null;
  const what = player.opened.value;
  const gone = player.fault.value === "missing" || player.fault.value === "features_only";
  const elsewhere = gone ? null : library.value?.players[0]; // the usual one; the menu of a result has all
  return (
    <div class="actions">
      <button type="button" disabled={!some} onClick={moreLikeTarget}>
        <Icon name="alike" />
        {w.moreLike}
      </button>
      {asked.value?.kind === "text" && (
        <button type="button" disabled={!some} onClick={notThisTarget}>
          <Icon name="aside" />
          {w.notThisAction}
        </button>
      )}
      <button type="button" disabled={!some} onClick={() => (dialog.value = "export")}>
        <Icon name="export" />
        {w.exportDots}
      </button>
      <button type="button" onClick={() => copyLink()}>
        <Icon name="link" />
        {w.copyLink}
      </button>
      {elsewhere && what && (
        <button type="button" onClick={() => openIn(what.id, elsewhere, player.now.value)}>
          <Icon name="window" />
          {w.openIn(playerName(elsewhere))}
        </button>
      )}
    </div>
  );
}
