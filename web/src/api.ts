// What the page says to `prvr serve` and what it hears: the objects of /v1, made from its schema, and one function a route.
// Addresses go on from where the page is, which may be below a path of a proxy.
import type { components } from "./schema";

type Objects = components["schemas"];
export type ErrorBody = Objects["ErrorBody"];
export type ExportOrder = Objects["ExportRequest"];
export type Clip = Objects["ExportClip"];
export type ClipOrigin = Objects["ClipOrigin"];
export type ClipOrigins = Objects["ClipOrigins"];
export type Failure = Objects["Failure"];
export type Failures = Objects["Failures"];
export type Folder = Objects["Folder"];
export type Folders = Objects["Folders"];
export type Hit = Objects["Hit"];
export type Job = Objects["Job"];
export type Libraries = Objects["Libraries"];
export type Line = Objects["TranscriptLine"];
export type Library = Objects["Library"];
export type Model = Objects["Model"];
export type Models = Objects["Models"];
export type Moment = Objects["Moment"];
export type OnShelf = Objects["OnShelf"];
export type Place = Objects["Place"];
export type Problem = Objects["Problem"];
export type Question = Objects["SearchRequest"];
export type Saved = Objects["Saved"];
export type SavedHits = Objects["SavedHits"];
export type SavedSearches = Objects["SavedSearches"];
export type Scores = Objects["Scores"];
export type Search = Objects["Search"];
export type Span = Objects["Span"];
export type Transcript = Objects["Transcript"];
export type Video = Objects["Video"];
export type Videos = Objects["Videos"];
export type Why = Objects["Why"];
export type Word = Objects["Word"];
export type Confidence = Hit["confidence"];
export type ExportFormat = ExportOrder["format"];
export type VideoState = Video["state"];

/** An answer of the server that is not the one asked for, or no answer (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly body: ErrorBody,
    readonly retryAfter: number | null = null,
  ) {
    super(body.message);
  }
}

type Watcher = (error: ApiError | null) => void;
let watcher: Watcher = () => undefined;

/** Hear of every answer: null after one that came, the error otherwise. */
export function watch(listener: Watcher): void {
  watcher = listener;
}

function errorOf(status: number, value: unknown): ErrorBody {
  const fallback = { message: `HTTP ${status}`, type: "internal", param: null, code: `http_${status}` };
  if (typeof value !== "object" || value === null || !("error" in value)) return fallback;
  return { ...fallback, ...(value.error as Partial<ErrorBody>) };
}

async function ask<T>(url: string, init: RequestInit = {}): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(url, { credentials: "same-origin", ...init });
  } catch (reason) {
    if (reason instanceof DOMException && reason.name === "AbortError") throw reason;
    const error = new ApiError(0, { message: "", type: "gone", param: null, code: "server_gone" });
    watcher(error);
    throw error;
  }
  if (answer.ok) {
    watcher(null);
    return (answer.status === 204 ? undefined : await answer.json()) as T;
  }
  const wait = Number(answer.headers.get("Retry-After"));
  const error = new ApiError(
    answer.status,
    errorOf(answer.status, await answer.json().catch(() => null)),
    wait || null,
  );
  watcher(error);
  throw error;
}

function post<T>(url: string, body: unknown, signal?: AbortSignal, method = "POST"): Promise<T> {
  const init: RequestInit = {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  return ask<T>(url, signal ? { ...init, signal } : init);
}

/** The address of one video below /v1. */
export const videoUrl = (id: string): string => `v1/videos/${encodeURIComponent(id)}`;

/** The picture of a video at a time; whole seconds, so that neighbours share one file. */
export const thumbUrl = (id: string, time: number, width: number): string =>
  `${videoUrl(id)}/thumb?t=${Math.max(0, Math.floor(time))}&width=${width}`;

export const api = {
  libraries: () => ask<Libraries>("v1/libraries"),
  addFolder: (path: string, prune: boolean, model: string | null) =>
    post<Job>("v1/libraries", { path, tags: [], prune, ...(model ? { model } : {}) }),
  folders: () => ask<Folders>("v1/folders"),
  watch: (id: string, watched: boolean) => post<Folder>(`v1/folders/${id}`, { watched }, undefined, "PATCH"),
  removeFolder: (id: string) => ask<undefined>(`v1/folders/${id}`, { method: "DELETE" }),
  places: (path?: string) => ask<Place>(path ? `v1/places?path=${encodeURIComponent(path)}` : "v1/places"),
  models: () => ask<Models>("v1/models"),
  bringModel: (order: { name: string } | { path: string }) => post<Job>("v1/models", order),
  failures: () => ask<Failures>("v1/failures"),
  retryFailures: (ids: readonly string[]) => post<Job>("v1/failures", { ids }),
  ignoreFailure: (id: string) => ask<undefined>(`v1/failures/${id}`, { method: "DELETE" }),
  videos: (query: string) => ask<Videos>(`v1/videos?${query}`),
  video: (id: string) => ask<Video>(videoUrl(id)),
  removeVideo: (id: string) => ask<undefined>(videoUrl(id), { method: "DELETE" }),
  locate: (id: string, path: string) => post<Video>(videoUrl(id), { path }, undefined, "PATCH"),
  reveal: (id: string) => ask<undefined>(`${videoUrl(id)}/reveal`, { method: "POST" }),
  openIn: (id: string, player: string, at: number) => post<undefined>(`${videoUrl(id)}/open`, { player, at }),
  makeProxy: (id: string) => post<Job>(`${videoUrl(id)}/proxy`, {}),
  scores: (id: string, q: string, signal?: AbortSignal) =>
    ask<Scores>(`${videoUrl(id)}/scores?q=${encodeURIComponent(q)}`, signal ? { signal } : {}),
  transcript: (id: string, signal: AbortSignal) => ask<Transcript>(`${videoUrl(id)}/transcript`, { signal }),
  why: (id: string, q: string, signal: AbortSignal) =>
    ask<Why>(`${videoUrl(id)}/why?q=${encodeURIComponent(q)}`, { signal }),
  search: (question: Question, signal: AbortSignal) => post<Search>("v1/search", question, signal),
  searchImage: (image: Blob, limit: number, signal: AbortSignal) =>
    ask<Search>(`v1/search/image?limit=${limit}`, {
      method: "POST",
      headers: { "Content-Type": image.type || "image/jpeg" },
      body: image,
      signal,
    }),
  trace: (clip: Blob, signal: AbortSignal) =>
    ask<ClipOrigins>("v1/locate", {
      method: "POST",
      headers: { "Content-Type": clip.type || "video/mp4" },
      body: clip,
      signal,
    }),
  saved: () => ask<SavedSearches>("v1/saved"),
  save: (query_text: string) => post<Saved>("v1/saved", { query_text }),
  newOf: (id: string) => ask<SavedHits>(`v1/saved/${id}`),
  dropSaved: (id: string) => ask<undefined>(`v1/saved/${id}`, { method: "DELETE" }),
  export: (order: ExportOrder) => post<Job>("v1/exports", order),
  job: (id: string) => ask<Job>(`v1/jobs/${id}`),
  cancel: (id: string) => ask<Job | undefined>(`v1/jobs/${id}`, { method: "DELETE" }),
  resume: (id: string) => post<Job>(`v1/jobs/${id}/resume`, {}),
  signIn: (token: string) => post<undefined>("v1/session", { token }),
  alive: () => ask<unknown>("healthz"),
};
