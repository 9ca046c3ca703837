// What there is: the folders that were read, what can be done with them, and all their videos by folder and date.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, type Folder, type Video } from "../api";
import { bytes } from "../lib/text";
import { ago, day, length, monthOf } from "../lib/time";
import { playVideo } from "../state/actions";
import { canAdd, indexing, isRunning, library, readFolder, refreshLibrary } from "../state/library";
import { dialog, reasonOf, say, sayFailure } from "../state/messages";
import { words } from "../state/settings";
import { Dialog } from "./Dialog";
import { Thumb } from "./Card";
import { Icon } from "./Icon";
import { Name } from "./Name";

const PAGE = 100;
type Order = "newest" | "oldest" | "name" | "longest";

const folders = signal<Folder[] | null>(null);
const leaving = signal<Folder | null>(null);

async function look(): Promise<void> {
  try {
    folders.value = (await api.folders()).data;
  } catch (error) {
    sayFailure(error);
  }
}

export function LibraryView() {
  const w = words.value;
  const shown = library.value;
  const [chosen, setChosen] = useState("");
  const busy = isRunning(indexing.value);
  useEffect(() => void look(), [shown?.generation, busy]);
  useEffect(() => {
    document.getElementById("library-title")?.focus(); // another page has begun
  }, []);
  const rows = folders.value ?? [];
  return (
    <div class="overview library">
      <section aria-labelledby="library-title">
        <div class="row between">
          <h1 id="library-title" tabIndex={-1}>
            {w.library}
          </h1>
          {canAdd.value && (
            <button type="button" class="go" onClick={() => (dialog.value = "add")}>
              {w.addFolder}
            </button>
          )}
        </div>
        {shown && (
          <p class="hint">
            {w.libraryText(shown.num_videos, length(shown.duration_s), bytes(shown.bytes, w.locale))}{" "}
            {w.modelIs(shown.encoder.name)}
          </p>
        )}
        {folders.value !== null && rows.length === 0 && <p>{w.noFolders}</p>}
        <ul class="folders">
          {rows.map((folder) => (
            <FolderRow key={folder.id} folder={folder} busy={busy} only={() => setChosen(folder.id)} />
          ))}
        </ul>
      </section>
      <AllVideos key={`${chosen} ${shown?.generation ?? ""}`} chosen={chosen} choose={setChosen} />
      {leaving.value && <LeaveFolder folder={leaving.value} />}
    </div>
  );
}

const nameOf = (path: string): string => path.split("/").filter(Boolean).at(-1) ?? path;

function FolderRow({ folder, busy, only }: { folder: Folder; busy: boolean; only: () => void }) {
  const w = words.value;
  const name = nameOf(folder.path);
  const again = (prune: boolean): void => void readFolder(folder.path, prune).catch(sayFailure);
  const watch = async (watched: boolean): Promise<void> => {
    try {
      await api.watch(folder.id, watched);
      say(watched ? w.watchOn(name) : w.watchOff(name));
    } catch (error) {
      sayFailure(error);
    }
    await look();
  };
  return (
    <li class={folder.there ? "" : "away"}>
      <Icon name="folder" />
      <div class="what">
        <h2>{name}</h2>
        <bdi class="where" title={folder.path}>
          {folder.path}
        </bdi>
        <p class="hint">
          {w.folderText(folder.num_videos, length(folder.duration_s), bytes(folder.bytes, w.locale))}
          {" · "}
          {folder.read_at ? w.readAgo(ago(folder.read_at, w)) : w.readEarlier}
          {folder.exclude.length > 0 && ` · ${w.leftOut(folder.exclude.join(", "))}`}
          {folder.num_missing > 0 && ` · ${w.numMissing(folder.num_missing)}`}
        </p>
        {!folder.there && <p class="wrong">{w.folderAway}</p>}
      </div>
      <div class="row">
        <button type="button" class="small" aria-label={w.showVideosOf(name)} onClick={only}>
          {w.showVideos}
        </button>
        {canAdd.value && (
          <>
            <label class="check">
              <input
                type="checkbox"
                role="switch"
                checked={folder.watched}
                aria-label={w.watchLabel(name)}
                onChange={(event) => void watch(event.currentTarget.checked)}
              />
              <span title={w.watchHelp}>{w.watch}</span>
            </label>
            <button
              type="button"
              class="small"
              disabled={busy || !folder.there}
              aria-label={w.rescanLabel(name)}
              onClick={() => again(false)}
            >
              {w.rescan}
            </button>
            {folder.num_missing > 0 && folder.there && (
              <button type="button" class="small" disabled={busy} onClick={() => again(true)}>
                {w.dropMissing(folder.num_missing)}
              </button>
            )}
            <button
              type="button"
              class="small"
              disabled={busy}
              aria-label={w.removeFolderLabel(name)}
              onClick={() => {
                leaving.value = folder;
                dialog.value = "leave";
              }}
            >
              {w.removeFolder}
            </button>
          </>
        )}
      </div>
    </li>
  );
}

/** Taking a folder out cannot be undone here, so it is asked first. */
function LeaveFolder({ folder }: { folder: Folder }) {
  const w = words.value;
  const [wrong, setWrong] = useState("");
  if (dialog.value !== "leave") return null;
  const name = nameOf(folder.path);
  const remove = async (): Promise<void> => {
    try {
      await api.removeFolder(folder.id);
      dialog.value = null;
      say(w.folderRemoved(name));
      await refreshLibrary();
      await look();
    } catch (error) {
      setWrong(reasonOf(error));
    }
  };
  return (
    <Dialog title={w.removeFolderTitle(name)}>
      <p>{w.removeFolderText(folder.num_videos)}</p>
      {wrong && (
        <p class="wrong" role="alert">
          {wrong}
        </p>
      )}
      <div class="row">
        <button type="button" class="go" onClick={() => void remove()}>
          {w.removeFolder}
        </button>
        <button type="button" onClick={() => (dialog.value = null)}>
          {w.cancel}
        </button>
      </div>
    </Dialog>
  );
}

/** Every video without a question, a page at a time as the end comes near. */
function AllVideos({ chosen, choose }: { chosen: string; choose: (id: string) => void }) {
  const w = words.value;
  const [order, setOrder] = useState<Order>("newest");
  const [videos, setVideos] = useState<Video[]>([]);
  const [next, setNext] = useState<string | null>("");
  const [total, setTotal] = useState(0);
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    [setVideos([]), setNext("")];
  }, [order]);
  useEffect(() => {
    const element = end.current;
    if (!element || next === null) return;
    let asked = false;
    const observer = new IntersectionObserver(
      (seen) => {
        if (asked || !seen.some((entry) => entry.isIntersecting)) return;
        asked = true;
        const query = new URLSearchParams({ limit: String(PAGE), sort: order });
        if (chosen) query.set("folder", chosen);
        if (next) query.set("page_token", next);
        api.videos(query.toString()).then((found) => {
          setVideos((old) => [...old, ...found.data]);
          setTotal(found.num_videos);
          setNext(found.next_page_token);
        }, sayFailure);
      },
      { rootMargin: "1200px" },
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, [next, order]);
  const dated = order === "newest" || order === "oldest";
  const groups = new Map<string, Video[]>();
  for (const video of videos) {
    const key = dated ? monthOf(video.modified, w.locale) : "";
    groups.get(key)?.push(video) ?? groups.set(key, [video]);
  }
  return (
    <section aria-labelledby="all-videos">
      <div class="row between">
        <h2 id="all-videos">
          {w.allVideos} <span class="hint">{total.toLocaleString(w.locale)}</span>
        </h2>
        <div class="row">
          <label class="row">
            {w.folder}
            <select value={chosen} onChange={(event) => choose(event.currentTarget.value)}>
              <option value="">{w.allFolders}</option>
              {(folders.value ?? []).map((folder) => (
                <option key={folder.id} value={folder.id}>
                  {nameOf(folder.path)}
                </option>
              ))}
            </select>
          </label>
          <label class="row">
            {w.sortBy}
            <select value={order} onChange={(event) => setOrder(event.currentTarget.value as Order)}>
              {(Object.keys(w.orders) as Order[]).map((name) => (
                <option key={name} value={name}>
                  {w.orders[name]}
                </option>
              ))}
            </select>
          </label>
        </div>
      </div>
      {[...groups].map(([key, group]) => (
        <section key={key} class="month" aria-label={key || w.allVideos}>
          {key && <h3>{key}</h3>}
          <ul class="shelf">
            {group.map((video) => (
              <li key={video.id}>
                <button type="button" aria-label={w.openVideo(video.name)} onClick={() => playVideo(video)}>
                  <Thumb
                    src={video.state === "features_only" ? "" : video.thumbnail_url}
                    duration={video.duration_s}
                    scrub={["missing", "features_only"].includes(video.state) ? null : video.id}
                  />
                  <Name name={video.name} />
                  <small class="hint">{video.state === "missing" ? w.missing : day(video.modified, w.locale)}</small>
                </button>
              </li>
            ))}
          </ul>
        </section>
      ))}
      <div class="rest" ref={end}>
        {next !== null && videos.length > 0 ? w.loadingMore : ""}
      </div>
    </section>
  );
}
