// The picture: the one video element of the page, or a still of what cannot be played.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { api, thumbUrl, videoUrl, type Job, type Video } from "../api";
import { ended, follow, share } from "../jobs";
import { clock, length } from "../lib/time";
import { reasonOf } from "../state/messages";
import * as player from "../state/player";
import { lessData, words } from "../state/settings";
import { Icon } from "./Icon";
import { MissingActions } from "./Missing";

export function Stage() {
  const what = player.opened.value;
  const fault = player.fault.value;
  if (!what) return null;
  return <div class="stage">{fault ? <Still fault={fault} /> : <Picture />}</div>;
}

function Picture() {
  const w = words.value;
  const what = player.opened.value;
  const element = useRef<HTMLVideoElement>(null);
  const subtitles = player.video.value?.subtitles_url;
  useLayoutEffect(() => {
    player.attach(element.current); // before the video's first event, which an effect after the next frame may miss
    return () => player.attach(null);
  }, []);
  useFrames(element);
  if (!what) return null;
  return (
    <>
      <video
        ref={element}
        src={what.hit?.stream_url ?? `${videoUrl(what.id)}/stream`}
        poster={what.hit?.thumbnail_url}
        aria-label={what.name}
        preload={lessData() ? "metadata" : "auto"}
        playsInline
        disableRemotePlayback
        muted={player.muted.value}
        onLoadedMetadata={player.onReady}
        onError={() => void player.onError()}
        onPlay={() => (player.paused.value = false)}
        onPause={() => (player.paused.value = true)}
        onWaiting={() => (player.waiting.value = true)}
        onPlaying={() => (player.waiting.value = false)}
        onSeeked={() => {
          player.waiting.value = false;
          player.tick();
        }}
        onTimeUpdate={player.tick}
        onClick={player.toggle}
      >
        {subtitles && <track kind="subtitles" src={subtitles} label={w.subtitles} default />}
      </video>
      {player.paused.value && !player.waiting.value && (
        <button type="button" class="big" aria-label={w.play} tabIndex={-1} onClick={player.toggle}>
          <Icon name="play" solid />
        </button>
      )}
    </>
  );
}

/** The playhead follows every frame while the video plays. */
function useFrames(element: { current: HTMLVideoElement | null }): void {
  const paused = player.paused.value;
  useEffect(() => {
    if (paused || !element.current) return;
    let frame = 0;
    const next = (): void => {
      player.tick();
      frame = requestAnimationFrame(next);
    };
    frame = requestAnimationFrame(next);
    return () => cancelAnimationFrame(frame);
  }, [paused]);
}

type Fault = NonNullable<typeof player.fault.value>;

function Still({ fault }: { fault: Fault }) {
  const w = words.value;
  const what = player.opened.value;
  const [failed, setFailed] = useState(false);
  if (!what) return null;
  const time = player.second.value;
  const pictures = fault === "needs_proxy" && !failed;
  return (
    <>
      {pictures && (
        <img
          class="still"
          src={thumbUrl(what.id, time, 960)}
          alt={w.still(clock(time))}
          onError={() => setFailed(true)}
        />
      )}
      <div class={pictures ? "fault over" : "fault"}>
        {fault === "needs_proxy" && <NeedsCopy key={what.id} id={what.id} />}
        {fault === "missing" && (
          <>
            <h2>{w.missing}</h2>
            <p>{w.missingText}</p>
            <MissingActions id={what.id} name={what.name} />
          </>
        )}
        {fault === "unreadable" && <Said title={w.unreadable} text={w.unreadableText} />}
        {fault === "features_only" && <Said title={w.featuresOnly} text={w.featuresOnlyText} />}
      </div>
    </>
  );
}

function Said({ title, text }: { title: string; text: string }) {
  return (
    <>
      <h2>{title}</h2>
      <p>{text}</p>
    </>
  );
}

/** What keeps a browser from playing a file, and what a copy costs. */
function obstacle({ codec, container, proxy_how: how }: Video): string {
  const w = words.value;
  if (how === "remuxed") return w.copyInSeconds(codec ?? "", container === "QuickTime" ? "" : (container ?? ""));
  const known = ["h264", "vp8", "vp9", "av1"].includes(codec ?? ""); // then it is this kind of it, or the container
  return w.needsProxyText(known ? "" : (codec ?? ""));
}

/** Make a copy that plays, show how far it is, then play it where we are. */
function NeedsCopy({ id }: { id: string }) {
  const w = words.value;
  const [job, setJob] = useState<Job | null>(null);
  const [failed, setFailed] = useState("");
  const stop = useRef<() => void>(() => undefined);
  useEffect(() => () => stop.current(), []);
  const hear = (news: Job): void => {
    setJob(news);
    if (news.status === "done") player.playCopy();
    if (news.status === "failed") setFailed(news.error?.message ?? "");
  };
  const make = async (): Promise<void> => {
    setFailed("");
    try {
      stop.current = follow(await api.makeProxy(id), hear);
    } catch (error) {
      setFailed(reasonOf(error));
    }
  };
  if (job && !ended(job)) {
    const eta = job.progress.eta_s;
    return (
      <div class="working" role="status">
        <p>
          {w.makingCopy}
          {eta !== null && ` · ${w.eta(length(eta))}`}
        </p>
        <progress value={share(job) ?? undefined} max={1} aria-label={w.makingCopy} />
        <button type="button" class="small" onClick={() => void api.cancel(job.id).catch(() => undefined)}>
          {w.cancel}
        </button>
      </div>
    );
  }
  const known = player.video.value;
  return (
    <>
      <h2>{w.needsProxy}</h2>
      <p>{known?.state === "needs_proxy" ? obstacle(known) : w.needsProxyText("")}</p>
      {failed && <p role="alert">{w.copyFailed(failed)}</p>}
      <button type="button" class="go" onClick={() => void make()}>
        {w.makeCopy}
      </button>
    </>
  );
}
