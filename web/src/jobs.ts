// Follow a job of the server to its end: events where they come through, asking again where they do not.
import { api, type Job } from "./api";

const ENDED: readonly Job["status"][] = ["done", "failed", "cancelled", "interrupted"];

/** Has the job come to its end? */
export const ended = (job: Job): boolean => ENDED.includes(job.status);

/** Calls `onJob` with every news of a job; the last call has an ended one. Returns a function that stops following. */
export function follow(job: Job, onJob: (job: Job) => void): () => void {
  onJob(job);
  if (ended(job)) return () => undefined;
  let timer = 0;
  let over = false;
  const source = new EventSource(job.events_url);
  const stop = (): void => {
    over = true;
    source.close();
    clearTimeout(timer);
  };
  const hear = (news: Job): void => {
    if (over) return;
    if (ended(news)) stop();
    onJob(news);
  };
  const poll = async (): Promise<void> => {
    try {
      hear(await api.job(job.id));
    } catch {
      // the server is gone for now; the banner says so
    }
    if (!over) timer = window.setTimeout(() => void poll(), 2000);
  };
  for (const name of ["progress", "end"]) {
    source.addEventListener(name, (event) => hear(JSON.parse((event as MessageEvent<string>).data) as Job));
  }
  source.onerror = () => {
    source.close();
    if (!over && !timer) void poll();
  };
  return stop;
}

/** The share that is done, 0 to 1; null while nobody knows the whole. */
export function share(job: Job): number | null {
  const { done, total } = job.progress;
  return total ? Math.min(1, done / total) : null;
}
