// The one library of this server, and the job that reads videos into it.
import { computed, signal } from "@preact/signals";
import { api, type Job, type Library, type OnShelf } from "../api";
import { ended, follow } from "../jobs";
import { say, sayFailure } from "./messages";
import { words } from "./settings";

export const library = signal<Library | null>(null);
export const shelf = signal<OnShelf[]>([]); // all libraries of the server
export const loaded = signal(false);
export const indexing = signal<Job | null>(null); // running, or ended badly
export const needsModel = signal(false); // nobody has said yet what is to understand the videos
export const lastFolder = signal<string | null>(null);
export const numFailures = signal(0); // files that could not be read
export const resume = signal<(() => Promise<void>) | null>(null); // starts the last job again

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]", "::1"];
export const isLoopback = LOOPBACK.includes(location.hostname);

export const canAdd = signal(isLoopback);
/** Nothing there, and nothing coming. */
export const empty = computed(() => loaded.value && !library.value?.num_videos && !isRunning(indexing.value));

let stop: () => void = () => undefined;
let followed = "";
const SETTLE_TURNS = 50;

export const isRunning = (job: Job | null): boolean => job !== null && !ended(job);

export async function refreshLibrary(): Promise<void> {
  try {
    const found = await api.libraries();
    library.value = found.data[0] ?? null;
    [shelf.value, needsModel.value] = [found.shelf, found.needs_model];
    canAdd.value = found.can_add;
    numFailures.value = found.num_failures;
    loaded.value = true;
    const job = found.indexing;
    if (job) watchIndexing(job);
  } catch (error) {
    sayFailure(error);
  }
}

function watchIndexing(job: Job): void {
  if (followed === job.id) return;
  stop();
  followed = job.id;
  let seen = performance.now();
  stop = follow(job, (news) => {
    if (news.status === "done") return void settle(news);
    indexing.value = news;
    if (ended(news) || performance.now() - seen > 4000) {
      seen = performance.now();
      void refreshLibrary();
    }
  });
}

/** The server opens what was made a moment after the job has ended: until then it still looks like indexing. */
async function settle(job: Job): Promise<void> {
  const before = library.value?.generation;
  const { made, removed, problems } = { made: 0, removed: 0, problems: [], ...job.result };
  for (let turn = 0; turn < SETTLE_TURNS; turn += 1) {
    await refreshLibrary();
    if (library.value && (library.value.generation !== before || turn > 4)) break;
    if (!made && !removed && turn) break; // nothing is to come
    await new Promise((resolve) => setTimeout(resolve, 600));
  }
  indexing.value = null;
  say(problems.length ? words.peek().indexDoneBut(problems.length) : words.peek().indexDone);
}

/** Read a folder into the library, for the first time or again. */
export async function readFolder(path: string, prune = false, model: string | null = null): Promise<void> {
  watchIndexing(await api.addFolder(path, prune, model));
  lastFolder.value = path;
  resume.value = () => readFolder(path, prune, model);
}

/** What a watched folder brings is seen without a reload. */
export function keepLooking(): void {
  setInterval(() => {
    if (document.visibilityState === "visible" && loaded.value && !isRunning(indexing.value)) void refreshLibrary();
  }, 15_000);
}

export async function retryFailures(ids: readonly string[]): Promise<void> {
  resume.value = () => retryFailures(ids);
  watchIndexing(await api.retryFailures(ids));
}

/** Go on with what the end of the server broke off. */
export async function goOn(job: Job): Promise<void> {
  watchIndexing(await api.resume(job.id));
}

/** The bar goes; what the end of the server broke off is not offered again. */
export async function dismiss(job: Job): Promise<void> {
  if (job.status === "interrupted") await api.cancel(job.id).catch(sayFailure);
  indexing.value = null;
}

export async function pauseIndexing(): Promise<void> {
  const job = indexing.value;
  if (job) await api.cancel(job.id).catch(sayFailure);
}
