// What is said in the open video, beside the player: it follows along, can be searched and taken away.
import { useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { videoUrl, type Line } from "../api";
import { clock } from "../lib/time";
import { copy } from "../state/messages";
import * as player from "../state/player";
import { words } from "../state/settings";
import * as transcript from "../state/transcript";
import { Icon } from "./Icon";

export function Transcript() {
  const w = words.value;
  if (!player.video.value?.subtitles_url) return null;
  return (
    <details
      class="transcript"
      open={transcript.shown.value}
      onToggle={(event) => (transcript.shown.value = event.currentTarget.open)}
    >
      <summary>{w.transcript}</summary>
      {transcript.trouble.value && <p class="wrong">{w.failed(transcript.trouble.value)}</p>}
      {transcript.lines.value && <Said lines={transcript.lines.value} />}
    </details>
  );
}

function Said({ lines }: { lines: readonly Line[] }) {
  const w = words.value;
  const places = transcript.matches.value;
  const list = useRef<HTMLOListElement>(null);
  useSignalEffect(() => follow(list.current, transcript.current.value, transcript.matches.value.length));
  return (
    <>
      {transcript.heard.value && <p class="hint">{w.transcriptHeard}</p>}
      <div class="rangebar">
        <input
          type="search"
          aria-label={w.transcriptSearch}
          placeholder={w.transcriptSearch}
          value={transcript.sought.value}
          onInput={(event) => (transcript.sought.value = event.currentTarget.value)}
        />
        <span class="hint" role="status">
          {transcript.sought.value.trim() && w.transcriptFound(places.length)}
        </span>
        <Take />
      </div>
      <ol class="lines" ref={list} aria-label={w.transcript}>
        {places.map((place) => {
          const line = lines[place];
          return (
            line && (
              <li key={place}>
                <button type="button" data-line={place} onClick={() => player.seek(line.start)}>
                  <span class="time">{clock(line.start)}</span>
                  <bdi>{line.text}</bdi>
                </button>
              </li>
            )
          );
        })}
      </ol>
    </>
  );
}

/** The line that is said now, marked, and in sight while the video plays and nobody reads elsewhere. */
function follow(list: HTMLElement | null, place: number, _lines: number): void {
  if (!list) return;
  list.querySelector("[aria-current]")?.removeAttribute("aria-current");
  const row = list.querySelector<HTMLElement>(`[data-line="${place}"]`);
  if (!row) return;
  row.setAttribute("aria-current", "true");
  if (player.paused.peek() || list.matches(":hover, :focus-within")) return;
  list.scrollTop = row.offsetTop - list.offsetTop - list.clientHeight / 3;
}

function Take() {
  const w = words.value;
  const id = player.opened.value?.id ?? "";
  return (
    <>
      <button type="button" onClick={() => void copy(transcript.asText(), w.transcriptCopied)}>
        <Icon name="list" />
        {w.transcriptCopy}
      </button>
      {(["srt", "vtt"] as const).map((form) => (
        <a key={form} href={`${videoUrl(id)}/transcript/${form}`} download>
          <Icon name="export" />
          {form.toUpperCase()}
        </a>
      ))}
    </>
  );
}
