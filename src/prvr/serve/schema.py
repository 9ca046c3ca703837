"""What is answered, as JSON: the types behind /openapi.json."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from prvr.serve.requests import Confidence, Filter

VideoState = Literal["playable", "needs_proxy", "proxy", "missing", "unreadable", "features_only", "unknown"]

DEEPEST = 1000  # hits that can be paged to


class Told(BaseModel):
    """An answer; nothing is ever left out of one."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class ErrorBody(Told):
    """What is wrong."""

    message: str = Field(description="One sentence: what is wrong, where, and what to do.")
    type: str
    param: str | None = Field(description="The parameter that is meant, if it is one.")
    code: str = Field(description="Never changes its meaning.")


class Error(Told):
    """Every answer with a status of 400 or more."""

    error: ErrorBody


class Page(Told):
    """What every list has."""

    object: Literal["list"] = "list"
    has_more: bool = False
    next_page_token: str | None = None


class Moment(Told):
    """A span in a video, seconds."""

    start: float
    end: float

    @model_validator(mode="before")
    @classmethod
    def _of_pair(cls, value: object) -> object:
        return {"start": value[0], "end": value[1]} if isinstance(value, tuple) else value


class Progress(Told):
    """How far a job is."""

    done: float
    total: float | None
    unit: str
    current: str
    speed: float | None = Field(description="Seconds of video a second.")
    eta_s: float | None


class Job(Told):
    """Work that takes longer than an answer may."""

    object: Literal["job"] = "job"
    id: str
    kind: Literal["index", "proxy", "export", "model"]
    about: str = Field(description="The name of the folder, file or model that it is about; empty where it is several.")
    status: Literal["queued", "running", "done", "failed", "cancelled", "interrupted"] = Field(
        description="`interrupted`: the server ended before the job did; POST /v1/jobs/{id}/resume goes on with it."
    )
    progress: Progress
    error: ErrorBody | None
    result: dict[str, Any] | None
    created_at: float
    url: str
    events_url: str


class Jobs(Page):
    """Jobs, newest first."""

    data: list[Job]


class EncoderInfo(Told):
    """What turned pictures and words into vectors."""

    name: str
    fingerprint: str
    domain: str
    limits: str = Field(description="What it does not know; empty for a general one.")


class Problem(Told):
    """A file that could not be used."""

    file: str
    reason: str


class Library(Told):
    """The library that this server searches."""

    object: Literal["library"] = "library"
    id: str
    name: str
    folder: str | None = Field(description="Where the index is; told on loopback only.")
    num_videos: int
    num_missing: int
    duration_s: float
    model: str
    encoder: EncoderInfo
    calibrated: bool
    pictures: bool = Field(description="It can be searched by a picture too.")
    media: bool = Field(description="False: features only, there are no files to play.")
    examples: list[str] = Field(description="Sentences that this library can answer.")
    tags: list[str]
    problems: list[Problem]
    indexing: Job | None
    generation: str = Field(description="Another one after every change of the index.")
    bytes: int
    can_add: bool
    can_reveal: bool = Field(description="There is a file manager that can be opened.")
    players: list[str] = Field(description="Players on the server's machine that can be opened, the usual one first.")


class OnShelf(Told):
    """One of the libraries that one server has."""

    name: str
    url: str
    here: bool = Field(description="It is the one that answers at this address.")


class Libraries(Page):
    """One library; none before the first index."""

    data: list[Library]
    shelf: list[OnShelf] = Field(description="All libraries of this server, each at an address of its own.")
    indexing: Job | None = Field(default=None, description="Also where there is no library yet.")
    num_failures: int = Field(default=0, description="Files that could not be read; GET /v1/failures lists them.")
    can_add: bool = False
    needs_model: bool = Field(default=False, description="Nobody has said which model is to read the first folder.")


class Folder(Told):
    """A folder that the library was read from."""

    object: Literal["folder"] = "folder"
    id: str
    path: str = Field(description="The whole path on loopback, else the name.")
    num_videos: int
    num_missing: int = Field(description="Of them, whose files are gone.")
    duration_s: float
    bytes: int = Field(description="Of the files that are there.")
    read_at: float | None = Field(description="When it was last read to its end, unix seconds.")
    watched: bool = Field(description="New and changed files in it are read by themselves.")
    exclude: list[str] = Field(
        description="What was left out of it (`prvr index --exclude`), and is when it is read again."
    )
    there: bool = Field(description="False: it is gone, or its drive is not plugged in.")


class Folders(Page):
    """The folders of the library, in order of their paths."""

    data: list[Folder]


class Place(Told):
    """A folder of the server's machine that could be added, and the folders in it."""

    object: Literal["place"] = "place"
    path: str
    parent: str | None = Field(description="Null where one may go no higher.")
    roots: list[str] = Field(description="What may be chosen is below these.")
    folders: list[str] = Field(description="Whole paths.")
    num_videos: int = Field(description="Directly in it.")
    has_more: bool = Field(description="There are more folders than are listed.")


class Model(Told):
    """A model that can turn pictures and sentences into something comparable."""

    name: str
    understands: str
    languages: str
    licence: str
    bytes: int
    recommended: bool
    here: bool = Field(description="It is on this machine.")
    chosen: bool = Field(description="It is used for a new library.")
    install: str = Field(description="The command that brings it, where the server cannot.")


class Models(Page):
    """The models that are known, the recommended one first."""

    data: list[Model]
    coming: Job | None = Field(description="The job that fetches one now.")


class Failure(Told):
    """A file, or a folder, that could not be read."""

    object: Literal["failure"] = "failure"
    id: str
    file: str = Field(description="The whole path on loopback, else the name.")
    stage: Literal["find", "open", "decode", "cut", "killed"] = Field(
        description="It cannot be looked at; it is no video that opens; no picture of it can be had; it is cut off, "
        "and was read as far as it goes; it ended the process that read it, or took too much, and is left alone."
    )
    reason: str = Field(description="And what to do.")
    failed_at: float = Field(description="The last attempt, unix seconds.")


class Failures(Page):
    """What could not be read, in order of the paths."""

    data: list[Failure]
    num_failures: int = Field(description="How many there are on all pages.")
    num_ignored: int = Field(description="Beside them; `prvr index --retry` tries these again.")


class Video(Told):
    """One video of the library."""

    object: Literal["video"] = "video"
    id: str
    name: str
    path: str
    duration_s: float
    modified: float
    tags: list[str]
    state: VideoState
    thumbnail_url: str
    stream_url: str
    subtitles_url: str | None
    width: int | None
    height: int | None
    codec: str | None
    container: str | None
    proxy_how: Literal["remuxed", "transcoded"] | None = Field(
        description="How a copy that browsers play is made: `remuxed` takes seconds. Null: not needed or not known."
    )
    notes: list[str] = Field(
        description="What is odd about the file and its subtitles, a line each; told of one video, not in lists."
    )


class Videos(Page):
    """Videos of the library."""

    data: list[Video]
    num_videos: int = Field(description="How many there are on all pages.")


class Hit(Told):
    """A video that answers a query, with the moments in it."""

    object: Literal["hit"] = "hit"
    rank: int
    video_id: str
    name: str
    path: str
    modified: float
    score: float
    confidence: Confidence
    p_topic: float | None
    p_instance: float | None
    start: float
    end: float
    moments: list[Moment]
    steps: list[Moment]
    channel: Literal["seen", "said", "written"] = Field(description="What the first moment is found by.")
    quote: str = Field(
        description="What is said or written, where the words of the query, or their meaning, are in it."
    )
    same_as: str | None = Field(description="The video of a hit before it whose moment shows the same: a copy of it.")
    duration_s: float
    relevance: list[float] = Field(description="Score over time, the highest of every `relevance_step_s` seconds.")
    relevance_step_s: float
    thumbnail_url: str
    stream_url: str
    state: VideoState


class Parsed(Told):
    """How a query was understood."""

    steps: list[str]
    within_s: list[float | None]
    without: list[str]
    filters: Filter
    channel: Literal["", "seen", "said", "written"] = Field(description="The one that alone is looked at.")


class TranscriptLine(Told):
    """What is said without a pause, seconds."""

    start: float
    end: float
    text: str


class Transcript(Told):
    """What is said in one video."""

    video_id: str
    source: Literal["heard", "subtitles", "none"] = Field(
        description="Heard by a model, written by people, or nothing."
    )
    language: str = Field(description="As the model tells it, by its code; empty where it is not known.")
    lines: list[TranscriptLine] = Field(description="In order of time.")


class Usage(Told):
    """What an answer took."""

    time_ms: float
    batch: int = Field(description="Queries that were answered together.")


class Search(Page):
    """The answer to a query, best first."""

    data: list[Hit]
    query: str
    parsed: Parsed
    verdict: Confidence
    num_confident: int
    unknown_words: list[str]
    understood: bool = Field(description="False: the encoder knows no word of the query that means something.")
    notes: list[str] = Field(
        description="What else is to be said of the query, a line each: a `key:` that is no filter."
    )
    model: str
    num_videos: int
    num_asked: int = Field(description="Videos that pass the filter.")
    relevance_range: tuple[float, float] = Field(description="Lowest and highest relevance, the same for all hits.")
    indexing: bool
    generation: str
    usage: Usage


class Scores(Told):
    """A query's score over the time of one video."""

    object: Literal["scores"] = "scores"
    video_id: str
    query: str
    step_s: float
    scores: list[float]
    moments: list[Moment]
    steps: list[Moment]
    duration_s: float
    range: tuple[float, float]


class Word(Told):
    """A word of a query, and what it does at the best moment of a video."""

    word: str
    step: int = Field(description="Of several sentences in order, 0 is the first.")
    adds: float | None = Field(
        description="What the moment's score loses without it; below 0 it takes away, null: nothing is left without it."
    )


class Branches(Told):
    """What each branch of the model gives to a score; together the whole of it."""

    frame: float
    clip: float


class Why(Told):
    """A query taken apart at the best moment of one video."""

    object: Literal["why"] = "why"
    video_id: str
    query: str
    score: float = Field(description="Of that moment, before anything is taken from it for what must not be seen.")
    at: list[float] = Field(description="Where each step of the query is seen best, seconds.")
    words: list[Word] = Field(description="In the order of the sentence.")
    branches: Branches | None = Field(description="Null where the score has one branch only.")


class Health(Told):
    """Whether the server can answer."""

    status: Literal["ok"]
    num_videos: int = 0
