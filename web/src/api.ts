// What the page says to `prvr serve` and what it hears: the objects of /v1 and one function a route.

export type Confidence = "confident" | "related" | "nothing found" | "not calibrated";
export type VideoState = "playable" | "needs_proxy" | "proxy" | "missing" | "unreadable" | "features_only" | "unknown";
export type ExportFormat = "mp4" | "webm" | "csv" | "json" | "edl" | "otio" | "vtt";

export interface Moment {
  start: number;
  end: number;
}

export interface Span extends Moment {
  video_id: string;
}

export interface ErrorBody {
  message: string;
  type: string;
  param: string | null;
  code: string;
}

export interface Progress {
  done: number;
  total: number | null;
  unit: string;
  current: string;
  speed: number | null;
  eta_s: number | null;
}

export interface Job {
  object: "job";
  id: string;
  kind: "index" | "proxy" | "export";
  status: "queued" | "running" | "done" | "failed" | "cancelled";
  progress: Progress;
  error: ErrorBody | null;
  result: Record<string, unknown> | null;
  created_at: number;
  url: string;
  events_url: string;
}

export interface Problem {
  file: string;
  reason: string;
}

export interface Failure extends Problem {
  object: "failure";
  id: string;
  stage: "find" | "open" | "decode";
  failed_at: number;
}

export interface Library {
  object: "library";
  id: string;
  name: string;
  folder: string | null;
  num_videos: number;
  num_missing: number;
  duration_s: number;
  model: string;
  encoder: { name: string; fingerprint: string; domain: string; limits: string };
  calibrated: boolean;
  media: boolean;
  examples: string[];
  tags: string[];
  problems: Problem[];
  indexing: Job | null;
  generation: string;
  bytes: number;
  can_add: boolean;
  can_reveal: boolean;
}

export interface Video {
  object: "video";
  id: string;
  name: string;
  path: string;
  duration_s: number;
  modified: number;
  tags: string[];
  state: VideoState;
  thumbnail_url: string;
  stream_url: string;
  subtitles_url: string | null;
  width: number | null;
  height: number | null;
  codec: string | null;
}

export interface Hit {
  object: "hit";
  rank: number;
  video_id: string;
  name: string;
  path: string;
  score: number;
  confidence: Confidence;
  p_topic: number | null;
  p_instance: number | null;
  start: number;
  end: number;
  moments: Moment[];
  steps: Moment[];
  quote: string;
  same_as: string | null; // a video before it whose moment shows the same
  duration_s: number;
  relevance: number[];
  relevance_step_s: number;
  thumbnail_url: string;
  stream_url: string;
  state: VideoState;
}

export interface Filters {
  path?: string | null;
  after?: string | null;
  before?: string | null;
  duration?: { gte?: number | null; lte?: number | null } | null;
  tags?: string[];
}

export interface Parsed {
  steps: string[];
  within_s: (number | null)[];
  without: string[];
  filters: Filters;
}

export interface List<T> {
  object: "list";
  data: T[];
  has_more: boolean;
  next_page_token: string | null;
}

export interface Libraries extends List<Library> {
  indexing: Job | null;
  num_failures: number;
  can_add: boolean;
}

export interface Failures extends List<Failure> {
  num_failures: number;
  num_ignored: number;
}

export interface Search extends List<Hit> {
  query: string;
  parsed: Parsed | null;
  verdict: Confidence;
  num_confident: number;
  unknown_words: string[];
  model: string;
  num_videos: number;
  num_asked: number;
  relevance_range: [number, number];
  indexing: boolean;
  generation: string;
  usage: { time_ms: number; batch: number };
}

export interface Scores {
  object: "scores";
  video_id: string;
  query: string;
  step_s: number;
  scores: number[];
  moments: Moment[];
  steps: Moment[];
  duration_s: number;
  range: [number, number];
}

export interface Word {
  word: string;
  step: number;
  adds: number | null;
}

export interface Why {
  object: "why";
  video_id: string;
  query: string;
  score: number;
  at: number[];
  words: Word[];
  branches: { frame: number; clip: number } | null;
}

export interface Question {
  query_text?: string;
  like?: Span;
  feedback?: { positive: Span[]; negative: Span[] };
  page_limit?: number;
  page_token?: string | null;
}

export interface ExportOrder {
  format: ExportFormat;
  query: string;
  clips: Span[];
  before_s: number;
  after_s: number;
}

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
export const videoUrl = (id: string): string => `/v1/videos/${encodeURIComponent(id)}`;

/** The picture of a video at a time; whole seconds, so that neighbours share one file. */
export const thumbUrl = (id: string, time: number, width: number): string =>
  `${videoUrl(id)}/thumb?t=${Math.max(0, Math.floor(time))}&width=${width}`;

export const api = {
  libraries: () => ask<Libraries>("/v1/libraries"),
  addFolder: (path: string) => post<Job>("/v1/libraries", { path, tags: [], prune: false }),
  failures: () => ask<Failures>("/v1/failures"),
  retryFailures: (ids: readonly string[]) => post<Job>("/v1/failures", { ids }),
  ignoreFailure: (id: string) => ask<undefined>(`/v1/failures/${id}`, { method: "DELETE" }),
  videos: (query: string) => ask<List<Video>>(`/v1/videos?${query}`),
  video: (id: string) => ask<Video>(videoUrl(id)),
  removeVideo: (id: string) => ask<undefined>(videoUrl(id), { method: "DELETE" }),
  locate: (id: string, path: string) => post<Video>(videoUrl(id), { path }, undefined, "PATCH"),
  reveal: (id: string) => ask<undefined>(`${videoUrl(id)}/reveal`, { method: "POST" }),
  makeProxy: (id: string) => post<Job>(`${videoUrl(id)}/proxy`, {}),
  scores: (id: string, q: string, signal?: AbortSignal) =>
    ask<Scores>(`${videoUrl(id)}/scores?q=${encodeURIComponent(q)}`, signal ? { signal } : {}),
  why: (id: string, q: string, signal: AbortSignal) =>
    ask<Why>(`${videoUrl(id)}/why?q=${encodeURIComponent(q)}`, { signal }),
  search: (question: Question, signal: AbortSignal) => post<Search>("/v1/search", question, signal),
  searchImage: (image: Blob, limit: number, signal: AbortSignal) =>
    ask<Search>(`/v1/search/image?limit=${limit}`, {
      method: "POST",
      headers: { "Content-Type": image.type || "image/jpeg" },
      body: image,
      signal,
    }),
  export: (order: ExportOrder) => post<Job>("/v1/exports", order),
  job: (id: string) => ask<Job>(`/v1/jobs/${id}`),
  cancel: (id: string) => ask<Job | undefined>(`/v1/jobs/${id}`, { method: "DELETE" }),
  signIn: (token: string) => post<undefined>("/v1/session", { token }),
  alive: () => ask<unknown>("/healthz"),
};
