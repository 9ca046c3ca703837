// Made by `make web` from the API's objects; do not edit. 2a3353be20d80738fb4461c1292ff2f91aa48f81daa3680c98831fb52216c7f3
export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
  schemas: {
    /** @description Both ends count as inside. */
    Between: {
      gte?: number | null;
      lte?: number | null;
    };
    /** @description What each branch of the model gives to a score; together the whole of it. */
    Branches: {
      clip: number;
      frame: number;
    };
    /** @description Where a clip comes from. */
    ClipOrigin: {
      /** @description Correlation of the clip's pictures with the film's; 1 is the highest. */
      alike: number;
      end: number;
      mirrored: boolean;
      name: string;
      path: string;
      rank: number;
      /** @description Second of the film's clock at which the clip begins. */
      start: number;
      stream_url: string;
      thumbnail_url: string;
      video_id: string;
    };
    /** @description Where a clip comes from, best first; nowhere where it is from none of the films that can be looked at. */
    ClipOrigins: {
      data: components["schemas"]["ClipOrigin"][];
      /**
       * @default clip_origins
       * @constant
       */
      object: "clip_origins";
      unseen: components["schemas"]["UnseenFilm"][];
    };
    /** @description What turned pictures and words into vectors. */
    EncoderInfo: {
      domain: string;
      fingerprint: string;
      /** @description What it does not know; empty for a general one. */
      limits: string;
      name: string;
    };
    /** @description Every answer with a status of 400 or more. */
    Error: {
      error: components["schemas"]["ErrorBody"];
    };
    /** @description What is wrong. */
    ErrorBody: {
      /** @description Never changes its meaning. */
      code: string;
      /** @description One sentence: what is wrong, where, and what to do. */
      message: string;
      /** @description The parameter that is meant, if it is one. */
      param: string | null;
      type: string;
    };
    /** @description A moment to be saved, with what a hit says of it, if that is to stand in a table. */
    ExportClip: {
      /**
       * @default not calibrated
       * @enum {string}
       */
      confidence?: "confident" | "related" | "nothing found" | "not calibrated";
      end: number;
      /** @default 0 */
      score?: number;
      start: number;
      video_id: string;
    };
    /** @description Moments, and the form that they are saved in. */
    ExportRequest: {
      /**
       * @description And ends so much later.
       * @default 0
       */
      after_s?: number;
      /**
       * @description Every moment starts so much earlier.
       * @default 0
       */
      before_s?: number;
      clips: components["schemas"]["ExportClip"][];
      /**
       * @description Copy the pictures of films, where that can be done: a moment then begins at the key frame before.
       * @default false
       */
      fast?: boolean;
      /** @enum {string} */
      format:
        | "mp4"
        | "webm"
        | "reel.mp4"
        | "reel.webm"
        | "csv"
        | "json"
        | "vtt"
        | "edl"
        | "otio"
        | "fcpxml"
        | "xml"
        | "markers.edl"
        | "markers.otio"
        | "markers.fcpxml"
        | "markers.xml";
      /**
       * @description What was asked; the file is named by it.
       * @default
       */
      query?: string;
    };
    /** @description A file, or a folder, that could not be read. */
    Failure: {
      /** @description The last attempt, unix seconds. */
      failed_at: number;
      /** @description The whole path on loopback, else the name. */
      file: string;
      id: string;
      /**
       * @default failure
       * @constant
       */
      object: "failure";
      /** @description And what to do. */
      reason: string;
      /**
       * @description It cannot be looked at; it is no video that opens; no picture of it can be had; it is cut off, and was read as far as it goes; it ended the process that read it, or took too much, and is left alone.
       * @enum {string}
       */
      stage: "find" | "open" | "decode" | "cut" | "killed";
    };
    /** @description What could not be read, in order of the paths. */
    Failures: {
      data: components["schemas"]["Failure"][];
      /** @default false */
      has_more: boolean;
      next_page_token: string | null;
      /** @description How many there are on all pages. */
      num_failures: number;
      /** @description Beside them; `prvr index --retry` tries these again. */
      num_ignored: number;
      /**
       * @default list
       * @constant
       */
      object: "list";
    };
    /** @description Moments that are what was meant, and moments that are not. */
    FeedbackRequest: {
      negative?: components["schemas"]["Span"][];
      positive?: components["schemas"]["Span"][];
    };
    /** @description Which videos are asked; all parts that are given must hold. */
    Filter: {
      /** @description YYYY, YYYY-MM or YYYY-MM-DD, its first instant. */
      after?: string | null;
      /** @description The same; ends there. */
      before?: string | null;
      /** @description Seconds. */
      duration?: components["schemas"]["Between"];
      /** @description A part of the path, or a pattern with * ? [. */
      path?: string | null;
      /** @description All of them. */
      tags?: string[];
    };
    /** @description A folder that the library was read from. */
    Folder: {
      /** @description Of the files that are there. */
      bytes: number;
      duration_s: number;
      /** @description What was left out of it (`prvr index --exclude`), and is when it is read again. */
      exclude: string[];
      id: string;
      /** @description Of them, whose files are gone. */
      num_missing: number;
      num_videos: number;
      /**
       * @default folder
       * @constant
       */
      object: "folder";
      /** @description The whole path on loopback, else the name. */
      path: string;
      /** @description When it was last read to its end, unix seconds. */
      read_at: number | null;
      /** @description False: it is gone, or its drive is not plugged in. */
      there: boolean;
      /** @description New and changed files in it are read by themselves. */
      watched: boolean;
    };
    /** @description The folders of the library, in order of their paths. */
    Folders: {
      data: components["schemas"]["Folder"][];
      /** @default false */
      has_more: boolean;
      next_page_token: string | null;
      /**
       * @default list
       * @constant
       */
      object: "list";
    };
    /** @description Whether the server can answer. */
    Health: {
      /** @default 0 */
      num_videos: number;
      /** @constant */
      status: "ok";
    };
    /** @description A video that answers a query, with the moments in it. */
    Hit: {
      /**
       * @description What the first moment is found by.
       * @enum {string}
       */
      channel: "seen" | "said" | "written";
      /** @enum {string} */
      confidence: "confident" | "related" | "nothing found" | "not calibrated";
      duration_s: number;
      end: number;
      modified: number;
      moments: components["schemas"]["Moment"][];
      name: string;
      /**
       * @default hit
       * @constant
       */
      object: "hit";
      p_instance: number | null;
      p_topic: number | null;
      path: string;
      /** @description What is said or written, where the words of the query, or their meaning, are in it. */
      quote: string;
      rank: number;
      /** @description Score over time, the highest of every `relevance_step_s` seconds. */
      relevance: number[];
      relevance_step_s: number;
      /** @description The video of a hit before it whose moment shows the same: a copy of it. */
      same_as: string | null;
      score: number;
      start: number;
      /** @enum {string} */
      state: "playable" | "needs_proxy" | "proxy" | "missing" | "unreadable" | "features_only" | "unknown";
      steps: components["schemas"]["Moment"][];
      stream_url: string;
      thumbnail_url: string;
      video_id: string;
    };
    /** @description Work that takes longer than an answer may. */
    Job: {
      /** @description The name of the folder, file or model that it is about; empty where it is several. */
      about: string;
      created_at: number;
      error: components["schemas"]["ErrorBody"] | null;
      events_url: string;
      id: string;
      /** @enum {string} */
      kind: "index" | "proxy" | "export" | "model";
      /**
       * @default job
       * @constant
       */
      object: "job";
      progress: components["schemas"]["Progress"];
      result: {
        [key: string]: unknown;
      } | null;
      /**
       * @description `interrupted`: the server ended before the job did; POST /v1/jobs/{id}/resume goes on with it.
       * @enum {string}
       */
      status: "queued" | "running" | "done" | "failed" | "cancelled" | "interrupted";
      url: string;
    };
    /** @description Jobs, newest first. */
    Jobs: {
      data: components["schemas"]["Job"][];
      /** @default false */
      has_more: boolean;
      next_page_token: string | null;
      /**
       * @default list
       * @constant
       */
      object: "list";
    };
    /** @description One library; none before the first index. */
    Libraries: {
      /** @default false */
      can_add: boolean;
      data: components["schemas"]["Library"][];
      /** @default false */
      has_more: boolean;
      /** @description Also where there is no library yet. */
      indexing: components["schemas"]["Job"] | null;
      /**
       * @description Nobody has said which model is to read the first folder.
       * @default false
       */
      needs_model: boolean;
      next_page_token: string | null;
      /**
       * @description Files that could not be read; GET /v1/failures lists them.
       * @default 0
       */
      num_failures: number;
      /**
       * @default list
       * @constant
       */
      object: "list";
      /** @description All libraries of this server, each at an address of its own. */
      shelf: components["schemas"]["OnShelf"][];
    };
    /** @description The library that this server searches. */
    Library: {
      bytes: number;
      calibrated: boolean;
      can_add: boolean;
      /** @description There is a file manager that can be opened. */
      can_reveal: boolean;
      duration_s: number;
      encoder: components["schemas"]["EncoderInfo"];
      /** @description Sentences that this library can answer. */
      examples: string[];
      /** @description Where the index is; told on loopback only. */
      folder: string | null;
      /** @description Another one after every change of the index. */
      generation: string;
      id: string;
      indexing: components["schemas"]["Job"] | null;
      /** @description False: features only, there are no files to play. */
      media: boolean;
      model: string;
      name: string;
      num_missing: number;
      num_videos: number;
      /**
       * @default library
       * @constant
       */
      object: "library";
      /** @description It can be searched by a picture too. */
      pictures: boolean;
      /** @description Players on the server's machine that can be opened, the usual one first. */
      players: string[];
      problems: components["schemas"]["Problem"][];
      tags: string[];
    };
    /** @description A folder of this machine, or one file, whose videos are read into the library. */
    LibraryRequest: {
      /** @description Of a new library; one of `GET /v1/models`. */
      model?: string | null;
      path: string;
      /**
       * @description Take out the videos below it whose files are gone.
       * @default false
       */
      prune?: boolean;
      /** @description Given to all of them. */
      tags?: string[];
    };
    /** @description Where the file of a video lies now. */
    LocateRequest: {
      /** @description The file, or the folder that it is in under its old name. */
      path: string;
    };
    /** @description A model that can turn pictures and sentences into something comparable. */
    Model: {
      bytes: number;
      /** @description It is used for a new library. */
      chosen: boolean;
      /** @description It is on this machine. */
      here: boolean;
      /** @description The command that brings it, where the server cannot. */
      install: string;
      languages: string;
      licence: string;
      name: string;
      recommended: boolean;
      understands: string;
    };
    /** @description A model to use from now on: one that is known by its name, or one in a folder of this machine. */
    ModelRequest: {
      /**
       * @description Fetched if it is not on this machine.
       * @default
       */
      name?: string;
      /**
       * @description A folder with a checkpoint; it is copied.
       * @default
       */
      path?: string;
    } & (unknown | unknown);
    /** @description The models that are known, the recommended one first. */
    Models: {
      /** @description The job that fetches one now. */
      coming: components["schemas"]["Job"] | null;
      data: components["schemas"]["Model"][];
      /** @default false */
      has_more: boolean;
      next_page_token: string | null;
      /**
       * @default list
       * @constant
       */
      object: "list";
    };
    /** @description A span in a video, seconds. */
    Moment: {
      end: number;
      start: number;
    };
    /** @description One of the libraries that one server has. */
    OnShelf: {
      /** @description It is the one that answers at this address. */
      here: boolean;
      name: string;
      url: string;
    };
    /** @description A player of the server's machine, and where it is to begin. */
    OpenRequest: {
      /** @default 0 */
      at?: number;
      /** @description One of `players` of the library. */
      player: string;
    };
    /** @description How a query was understood. */
    Parsed: {
      /**
       * @description The one that alone is looked at.
       * @enum {string}
       */
      channel: "" | "seen" | "said" | "written";
      filters: components["schemas"]["Filter"];
      steps: string[];
      within_s: (number | null)[];
      without: string[];
    };
    /** @description A folder of the server's machine that could be added, and the folders in it. */
    Place: {
      /** @description Whole paths. */
      folders: string[];
      /** @description There are more folders than are listed. */
      has_more: boolean;
      /** @description Directly in it. */
      num_videos: number;
      /**
       * @default place
       * @constant
       */
      object: "place";
      /** @description Null where one may go no higher. */
      parent: string | null;
      path: string;
      /** @description What may be chosen is below these. */
      roots: string[];
    };
    /** @description A file that could not be used. */
    Problem: {
      file: string;
      reason: string;
    };
    /** @description How far a job is. */
    Progress: {
      current: string;
      done: number;
      eta_s: number | null;
      /** @description Seconds of video a second. */
      speed: number | null;
      total: number | null;
      unit: string;
    };
    /** @description Failures that are tried again. */
    RetryRequest: {
      /** @description None: all of them, but the ignored. */
      ids?: string[];
    };
    /** @description A search to keep. */
    SaveRequest: {
      /** @description What it is called; null: as before, if it was. */
      name?: string | null;
      /** @description The grammar of the search box. */
      query_text: string;
    };
    /** @description A search that is kept. */
    Saved: {
      /** @description Unix seconds. */
      created_at: number;
      id: string;
      /** @description When it was last kept or looked at, unix seconds. */
      looked_at: number;
      /** @description Empty where nobody gave it one. */
      name: string;
      /** @description Hits that came or changed since; at most 200. */
      num_new: number;
      /**
       * @default saved
       * @constant
       */
      object: "saved";
      query: string;
    };
    /** @description What is new in one of them, best first. */
    SavedHits: {
      data: components["schemas"]["Hit"][];
      /** @default false */
      has_more: boolean;
      next_page_token: string | null;
      /**
       * @default list
       * @constant
       */
      object: "list";
      relevance_range: [number, number];
      saved: components["schemas"]["Saved"];
    };
    /** @description All of them, the oldest first. */
    SavedSearches: {
      data: components["schemas"]["Saved"][];
      /** @default false */
      has_more: boolean;
      next_page_token: string | null;
      /**
       * @default list
       * @constant
       */
      object: "list";
    };
    /** @description A query's score over the time of one video. */
    Scores: {
      duration_s: number;
      moments: components["schemas"]["Moment"][];
      /**
       * @default scores
       * @constant
       */
      object: "scores";
      query: string;
      range: [number, number];
      scores: number[];
      step_s: number;
      steps: components["schemas"]["Moment"][];
      video_id: string;
    };
    /** @description The answer to a query, best first. */
    Search: {
      data: components["schemas"]["Hit"][];
      generation: string;
      /** @default false */
      has_more: boolean;
      indexing: boolean;
      model: string;
      next_page_token: string | null;
      /** @description What else is to be said of the query, a line each: a `key:` that is no filter. */
      notes: string[];
      /** @description Videos that pass the filter. */
      num_asked: number;
      num_confident: number;
      num_videos: number;
      /**
       * @default list
       * @constant
       */
      object: "list";
      parsed: components["schemas"]["Parsed"];
      query: string;
      /** @description Lowest and highest relevance, the same for all hits. */
      relevance_range: [number, number];
      /** @description False: the encoder knows no word of the query that means something. */
      understood: boolean;
      unknown_words: string[];
      usage: components["schemas"]["Usage"];
      /** @enum {string} */
      verdict: "confident" | "related" | "nothing found" | "not calibrated";
    };
    /** @description One question: one of `query_text`, `sequence` and `like`. */
    SearchRequest: {
      /**
       * @description Hits say how sure they are.
       * @default true
       */
      calibrated?: boolean;
      /** @description Goes with one sentence. */
      feedback?: components["schemas"]["FeedbackRequest"];
      filter?: components["schemas"]["Filter"];
      /** @description More like this moment. */
      like?: components["schemas"]["Span"];
      /** @description Not seen with it. */
      negative?: string[];
      /** @default 20 */
      page_limit?: number;
      page_token?: string | null;
      /**
       * @description The grammar of the search box: `a dog -cat path:holiday`.
       * @default
       */
      query_text?: string;
      sequence?: components["schemas"]["Step"][];
      /**
       * @description Names and subtitles count as well.
       * @default true
       */
      words?: boolean;
    } & (unknown | unknown | unknown);
    /** @description What opens the page on another machine. */
    SessionRequest: {
      token: string;
    };
    /** @description A moment of a video. */
    Span: {
      end: number;
      start: number;
      video_id: string;
    };
    /** @description One of several sentences in order of time. */
    Step: {
      text: string;
      /** @description At most so long after the step before it. */
      within_s?: number | null;
    };
    /** @description What is said in one video. */
    Transcript: {
      /** @description As the model tells it, by its code; empty where it is not known. */
      language: string;
      /** @description In order of time. */
      lines: components["schemas"]["TranscriptLine"][];
      /**
       * @description Heard by a model, written by people, or nothing.
       * @enum {string}
       */
      source: "heard" | "subtitles" | "none";
      video_id: string;
    };
    /** @description What is said without a pause, seconds. */
    TranscriptLine: {
      end: number;
      start: number;
      text: string;
    };
    /** @description A film that a clip may be from, and that cannot be looked at. */
    UnseenFilm: {
      /** @description Where in it, by the index alone. */
      about_s: number;
      name: string;
      video_id: string;
    };
    /** @description What an answer took. */
    Usage: {
      /** @description Queries that were answered together. */
      batch: number;
      time_ms: number;
    };
    /** @description One video of the library. */
    Video: {
      codec: string | null;
      container: string | null;
      duration_s: number;
      height: number | null;
      id: string;
      modified: number;
      name: string;
      /** @description What is odd about the file and its subtitles, a line each; told of one video, not in lists. */
      notes: string[];
      /**
       * @default video
       * @constant
       */
      object: "video";
      path: string;
      /** @description How a copy that browsers play is made: `remuxed` takes seconds. Null: not needed or not known. */
      proxy_how: ("remuxed" | "transcoded") | null;
      /** @enum {string} */
      state: "playable" | "needs_proxy" | "proxy" | "missing" | "unreadable" | "features_only" | "unknown";
      stream_url: string;
      subtitles_url: string | null;
      tags: string[];
      thumbnail_url: string;
      width: number | null;
    };
    /** @description Videos of the library. */
    Videos: {
      data: components["schemas"]["Video"][];
      /** @default false */
      has_more: boolean;
      next_page_token: string | null;
      /** @description How many there are on all pages. */
      num_videos: number;
      /**
       * @default list
       * @constant
       */
      object: "list";
    };
    /** @description Whether a folder is watched. */
    WatchRequest: {
      /** @description New and changed files in it are read by themselves. */
      watched: boolean;
    };
    /** @description A query taken apart at the best moment of one video. */
    Why: {
      /** @description Where each step of the query is seen best, seconds. */
      at: number[];
      /** @description Null where the score has one branch only. */
      branches: components["schemas"]["Branches"] | null;
      /**
       * @default why
       * @constant
       */
      object: "why";
      query: string;
      /** @description Of that moment, before anything is taken from it for what must not be seen. */
      score: number;
      video_id: string;
      /** @description In the order of the sentence. */
      words: components["schemas"]["Word"][];
    };
    /** @description A word of a query, and what it does at the best moment of a video. */
    Word: {
      /** @description What the moment's score loses without it; below 0 it takes away, null: nothing is left without it. */
      adds: number | null;
      /** @description Of several sentences in order, 0 is the first. */
      step: number;
      word: string;
    };
  };
  responses: never;
  parameters: never;
  requestBodies: never;
  headers: never;
  pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
