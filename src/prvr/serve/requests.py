"""What is asked, as JSON: the bodies of requests behind /openapi.json."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Confidence = Literal["confident", "related", "nothing found", "not calibrated"]
ExportFormat = Literal[
    "mp4",
    "webm",
    "reel.mp4",
    "reel.webm",
    "csv",
    "json",
    "vtt",
    "edl",
    "otio",
    "fcpxml",
    "xml",
    "markers.edl",
    "markers.otio",
    "markers.fcpxml",
    "markers.xml",
]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Sentence = Annotated[str, Field(min_length=1, max_length=2000)]
Name = Annotated[str, Field(min_length=1, max_length=4096)]
Tag = Annotated[str, Field(min_length=1, max_length=100)]

MOST_STEPS, MOST_NEGATIVES, MOST_FEEDBACK = 8, 16, 32


class Asked(BaseModel):
    """A request: nothing unknown in it, nothing guessed from another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


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
    model: str | None = Field(
        default=None, min_length=1, max_length=4096, description="Of a new library; one of `GET /v1/models`."
    )


class WatchRequest(Asked):
    """Whether a folder is watched."""

    watched: bool = Field(description="New and changed files in it are read by themselves.")


class ModelRequest(Asked):
    """A model to use from now on: one that is known by its name, or one in a folder of this machine."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"oneOf": [{"required": [one]} for one in ("name", "path")]}
    )

    name: str = Field(default="", max_length=200, description="Fetched if it is not on this machine.")
    path: str = Field(default="", max_length=4096, description="A folder with a checkpoint; it is copied.")

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if bool(self.name) == bool(self.path):
            raise ValueError("give one of name and path")
        return self


class LocateRequest(Asked):
    """Where the file of a video lies now."""

    path: Name = Field(description="The file, or the folder that it is in under its old name.")


class OpenRequest(Asked):
    """A player of the server's machine, and where it is to begin."""

    player: str = Field(min_length=1, max_length=40, description="One of `players` of the library.")
    at: Seconds = 0.0


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

    format: ExportFormat
    query: str = Field(default="", max_length=2000, description="What was asked; the file is named by it.")
    clips: list[ExportClip] = Field(min_length=1, max_length=200)
    before_s: float = Field(default=0.0, ge=-3600, le=3600, description="Every moment starts so much earlier.")
    after_s: float = Field(default=0.0, ge=-3600, le=3600, description="And ends so much later.")
    fast: bool = Field(
        default=False,
        description="Copy the pictures of films, where that can be done: a moment then begins at the key frame before.",
    )


class SessionRequest(Asked):
    """What opens the page on another machine."""

    token: str = Field(min_length=1, max_length=200)
