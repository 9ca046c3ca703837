"""What is asked and what is answered, as JSON: the types behind /openapi.json."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Confidence = Literal["confident", "related", "nothing found", "not calibrated"]
VideoState = Literal["playable", "needs_proxy", "proxy", "missing", "unreadable", "features_only", "unknown"]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Sentence = Annotated[str, Field(min_length=1, max_length=2000)]
Name = Annotated[str, Field(min_length=1, max_length=4096)]
Tag = Annotated[str, Field(min_length=1, max_length=100)]

MOST_STEPS, MOST_NEGATIVES, MOST_FEEDBACK = 8, 16, 32
DEEPEST = 1000  # hits that can be paged to


class Asked(BaseModel):
    """A request: nothing unknown in it, nothing guessed from another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Told(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)


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
    kind: Literal["index", "proxy", "export"]
    status: Literal["queued", "running", "done", "failed", "cancelled"]
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
    folder: str | None = Field(description="Where the index lies; told on loopback only.")
    num_videos: int
    num_missing: int
    duration_s: float
    model: str
    encoder: EncoderInfo
    calibrated: bool
    media: bool = Field(description="False: features only, there are no files to play.")
    examples: list[str] = Field(description="Sentences that this library can answer.")
    tags: list[str]
    problems: list[Problem]
    indexing: Job | None
    generation: str = Field(description="Another one after every change of the index.")
    bytes: int
    can_add: bool
    can_reveal: bool = Field(description="There is a file manager that can be opened.")


class Libraries(Page):
    """One library; none before the first index."""

    data: list[Library]
    indexing: Job | None = Field(default=None, description="Also where there is no library yet.")
    num_failures: int = Field(default=0, description="Files that could not be read; GET /v1/failures lists them.")
    can_add: bool = False


class Failure(Told):
    """A file, or a folder, that could not be read."""

    object: Literal["failure"] = "failure"
    id: str
    file: str = Field(description="The whole path on loopback, else the name.")
    stage: Literal["find", "open", "decode"] = Field(
        description="It cannot be looked at; it is no video that opens; no picture of it can be had."
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
    score: float
    confidence: Confidence
    p_topic: float | None
    p_instance: float | None
    start: float
    end: float
    moments: list[Moment]
    steps: list[Moment]
    quote: str
    same_as: str | None = Field(description="The video of a hit before it whose moment shows the same: a copy of it.")
    duration_s: float
    relevance: list[float] = Field(description="Score over time, the highest of every `relevance_step_s` seconds.")
    relevance_step_s: float
    thumbnail_url: str
    stream_url: str
    state: VideoState


class Between(Asked):
    """Both ends count as inside."""

    gte: Seconds | None = None
    lte: Seconds | None = None


class Filter(Asked):
    """Which videos are asked; all parts that are given must hold."""

    path: Name | None = Field(default=None, description="A part of the path, or a pattern with * ? [.")
    after: str | None = Field(
        default=None, max_length=10, description="YYYY, YYYY-MM or YYYY-MM-DD, its first instant."
    )
    before: str | None = Field(default=None, max_length=10, description="The same; ends there.")
    duration: Between = Field(default_factory=Between, description="Seconds.")
    tags: list[Tag] = Field(default_factory=list, max_length=20, description="All of them.")


class Parsed(Told):
    """How a query was understood."""

    steps: list[str]
    within_s: list[float | None]
    without: list[str]
    filters: Filter


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


class Step(Asked):
    """One of several sentences in order of time."""

    text: Sentence
    within_s: Seconds | None = Field(default=None, description="At most so long after the step before it.")


class Span(Asked):
    """A moment of a video."""

    video_id: Name
    start: Seconds
    end: Seconds


class FeedbackRequest(Asked):
    """Moments that are what was meant, and moments that are not."""

    positive: list[Span] = Field(default_factory=list, max_length=MOST_FEEDBACK)
    negative: list[Span] = Field(default_factory=list, max_length=MOST_FEEDBACK)


ONE_OF: dict[str, Any] = {"oneOf": [{"required": [name]} for name in ("query_text", "sequence", "like")]}


class SearchRequest(Asked):
    """One question: one of `query_text`, `sequence` and `like`."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=ONE_OF)

    query_text: Sentence = Field(default="", description="The grammar of the search box: `a dog -cat path:holiday`.")
    sequence: list[Step] = Field(default_factory=list, min_length=1, max_length=MOST_STEPS)
    like: Span = Field(default=None, description="More like this moment.")  # type: ignore[assignment]
    negative: list[Sentence] = Field(default_factory=list, max_length=MOST_NEGATIVES, description="Not seen with it.")
    filter: Filter = Field(default_factory=Filter)
    feedback: FeedbackRequest = Field(default_factory=FeedbackRequest, description="Goes with one sentence.")
    words: bool = Field(default=True, description="Names and subtitles count as well.")
    calibrated: bool = Field(default=True, description="Hits say how sure they are.")
    page_limit: int = Field(default=20, ge=1, le=100)
    page_token: str | None = Field(default=None, max_length=400)

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        given = self.model_fields_set & {"query_text", "sequence", "like"}
        if len(given) != 1:
            raise ValueError("give exactly one of query_text, sequence and like")
        if "query_text" not in given and (self.feedback.positive or self.feedback.negative):
            raise ValueError("feedback goes with query_text")
        if "like" in given and self.negative:
            raise ValueError("negative goes with query_text or sequence")
        return self


class LibraryRequest(Asked):
    """A folder of this machine, or one file, whose videos are read into the library."""

    path: Name
    tags: list[Tag] = Field(default_factory=list, max_length=20, description="Given to all of them.")
    prune: bool = Field(default=False, description="Take out the videos below it whose files are gone.")


class LocateRequest(Asked):
    """Where the file of a video lies now."""

    path: Name = Field(description="The file, or the folder that it lies in under its old name.")


class RetryRequest(Asked):
    """Failures that are tried again."""

    ids: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        default_factory=list, max_length=1000, description="None: all of them, but the ignored."
    )


class ExportClip(Span):
    """A moment to be saved, with what a hit says of it, if that is to stand in a table."""

    score: float = Field(default=0.0, allow_inf_nan=False)
    confidence: Confidence = "not calibrated"


class ExportRequest(Asked):
    """Moments, and the form that they are saved in."""

    format: Literal["mp4", "webm", "csv", "json", "edl", "otio", "vtt"]
    query: str = Field(default="", max_length=2000, description="What was asked; the file is named by it.")
    clips: list[ExportClip] = Field(min_length=1, max_length=200)
    before_s: float = Field(default=0.0, ge=-3600, le=3600, description="Every moment starts so much earlier.")
    after_s: float = Field(default=0.0, ge=-3600, le=3600, description="And ends so much later.")


class SessionRequest(Asked):
    """What opens the page on another machine."""

    token: str = Field(min_length=1, max_length=200)


class Health(Told):
    """Whether the server can answer."""

    status: Literal["ok"]
    num_videos: int = 0
