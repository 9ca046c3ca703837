"""What crosses a seam between rooms, and the letters its shapes are written in.

V videos, Q queries, T frames, C clips, N tokens of either branch, W words, E encoder width, D model width, M metric
width, H heads. B is a batch of images in front of an encoder. Masks are bool, True = real. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar, runtime_checkable

from prvr.core.clips import ClipFeatures, ClipSpec
from prvr.core.facts import SEEN
from prvr.core.files import Presence, presence
from prvr.core.text import text_of

if TYPE_CHECKING:  # whoever only reads video files needs no torch
    from torch import Tensor

Span = tuple[float, float]  # a moment: start and end in seconds


@dataclass(frozen=True, kw_only=True)
class Query:
    """A sentence, the video it belongs to and, where known, the moments that it describes."""

    query_id: str
    video_id: str
    text: str
    windows: tuple[Span, ...] = ()  # seconds; empty where the benchmark does not say
    duration_s: float | None = None  # of the video, where the benchmark says
    attributes: Mapping[str, str] | None = None  # the true meaning, where it is known (the generated world)
    source: Mapping[str, object] | None = None  # what the authors' file says beyond this, to be written again


class TextFeatures(NamedTuple):
    """Queries as the frozen encoder sees them."""

    words: Tensor  # (Q, W, E) last hidden states after the final norm and the projection
    valid: Tensor  # (Q, W) bool
    sentence: Tensor  # (Q, E) the encoder's own sentence embedding


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """All that is needed to make the same features again."""

    name: str  # `world`, a hub name, or the folder's name
    revision: str  # a hash of the weights
    width: int  # E
    image_size: tuple[int, int]  # height, width in pixels
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop: bool  # True: shortest side, then centre crop; False: squash
    token_limit: int  # W at most
    domain: str = "general"  # what it knows; `the generated world only` for the demo's own
    source: str = ""  # where it was loaded from (`world`, a folder, a hub name); no part of its identity
    clips: ClipSpec | None = None  # of an encoder that reads windows of frames, alone or beside one of frames

    @property
    def fingerprint(self) -> str:
        """`name@revision`, for people."""
        return f"{self.name}@{self.revision[:12]}"

    def same_as(self, other: EncoderSpec) -> bool:
        """Whether features of the two can be compared: same weights, same pictures; a folder may be renamed."""
        return replace(self, name=other.name, source=other.source, domain=other.domain) == other


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """What the features of videos and queries have in common; a model trained on one cannot read another."""

    name: str  # the encoder's fingerprint, or the name of the published pack
    revision: str  # of the encoder's weights, or of the pack's names, keys and widths
    video_width: int  # E of the frame features
    text_width: int  # E of the word features
    simulated: bool = False  # made from annotations by `prvr data simulate`; said wherever numbers are shown
    encoder: EncoderSpec | None = None  # that can make more of them; None: a pack that others extracted
    shared_space: bool | None = None  # whether the cosine of a frame and a sentence means something; None: not known
    sentence_vector: bool | None = None  # whether a query has a vector for the whole of it; None: not known
    teacher: FeatureSpec | None = None  # of another encoder, which training alone reads; frames 0 wide: sentences only

    REMARKS: ClassVar[tuple[str, ...]] = ("shared_space", "sentence_vector", "teacher")
    """What is said about the features, and is no part of their identity."""

    @classmethod
    def of_encoder(cls, encoder: EncoderSpec) -> Self:
        """Features that one encoder makes of pictures and of words."""
        return cls(
            name=encoder.fingerprint,
            revision=encoder.revision,
            video_width=encoder.width,
            text_width=encoder.width,
            encoder=encoder,
            shared_space=True,
            sentence_vector=True,
        )

    @property
    def comparable(self) -> bool:
        """Whether nothing speaks against comparing frames with sentences as they are."""
        return self.shared_space is not False and self.video_width == self.text_width

    def same_as(self, other: FeatureSpec) -> bool:
        """Whether a model trained on one can read the other."""
        if self.encoder and other.encoder:
            return self.encoder.same_as(other.encoder)
        return self._identity() == other._identity()

    def _identity(self) -> FeatureSpec:
        return replace(self, encoder=None, shared_space=None, sentence_vector=None, teacher=None)


@runtime_checkable
class Encoder(Protocol):
    """A frozen image-text backbone."""

    @property
    def spec(self) -> EncoderSpec:
        """What the features need to be reproduced."""
        ...

    def prepare(self, frames: Tensor) -> Tensor:
        """frames (B, 3, h, w) uint8 of any size -> images (B, 3, H, W) float, resized and normalised."""
        ...

    def encode_images(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) -> (B, E) float32 on the CPU, not normalised."""
        ...

    def encode_texts(self, texts: list[str]) -> TextFeatures:
        """Q sentences -> TextFeatures, float32 on the CPU, not normalised."""
        ...

    def unknown_words(self, text: str) -> list[str]:
        """The words of a sentence that mean nothing to this encoder."""
        ...


class VideoFeatures(NamedTuple):
    """One video as the store keeps it."""

    features: Tensor  # (T, E) float32, not normalised; those of its windows where there is a clip encoder alone
    times: Tensor  # (T,) PTS, seconds from the start of the video, increasing
    duration_s: float
    clips: ClipFeatures | None = None  # where a clip encoder took part


class TensorRecord:
    """A frozen dataclass of tensors, all of which can be changed in one call."""

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same record with every tensor changed."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return type(self)(**{name: _changed(value, change) for name, value in values.items()})

    def to(self, device: str) -> Self:
        """The same record on another device."""
        return self.each(lambda tensor: tensor.to(device))


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if value is None:
        return None
    return value.each(change) if isinstance(value, TensorRecord) else change(value)


@dataclass(frozen=True, kw_only=True)
class Videos(TensorRecord):
    """V videos in the form that one method reads; a method's own record adds its tensors, V first in each.

    Built once per video from frozen features by the method's `prepare`; nothing in it changes between epochs.
    """

    frame_valid: Tensor  # (V, T) bool, which of the places that a video is cut to are there
    frame_spans: Tensor  # (V, T, 2) float32 seconds of those places

    def __len__(self) -> int:
        return len(self.frame_valid)

    def take(self, rows: Tensor) -> Self:
        """The given videos."""
        return self.each(lambda tensor: tensor[rows])


VideosRead = TypeVar("VideosRead", bound=Videos, covariant=True)


@dataclass(frozen=True, kw_only=True)
class QueryBatch(TensorRecord):
    """Q queries in the form that models read."""

    words: Tensor  # (Q, W, E) unit length rows, zero where not valid
    valid: Tensor  # (Q, W) bool
    sentence: Tensor  # (Q, E) the encoder's sentence embedding, unit length

    def __len__(self) -> int:
        return len(self.words)


@dataclass(frozen=True, kw_only=True)
class Teacher(TensorRecord):
    """What another frozen encoder made of the same videos and queries; not normalised."""

    frames: Tensor  # (V, T, E) at the places of the student's frames, zero where not valid; T = 0: it saw no video
    sentence: Tensor  # (Q, E)


@dataclass(frozen=True, kw_only=True)
class Batch(TensorRecord, Generic[VideosRead]):
    """Videos with all their queries: one training step."""

    videos: VideosRead
    queries: QueryBatch
    video_of_query: Tensor  # (Q,) int64, row -> position of its video in `videos`
    teacher: Teacher | None = None  # an encoder other than the one that made the features, where there is one


class VideoTokens(NamedTuple):
    """What a model makes of V videos; all that retrieval needs."""

    frames: Tensor  # (V, T, D), not normalised
    frame_valid: Tensor  # (V, T) bool
    clips: Tensor  # (V, C, D), not normalised
    clip_valid: Tensor  # (V, C) bool


class BranchScores(NamedTuple):
    """Best token of every video for every query, one matrix a branch."""

    frame: Tensor  # (Q, V), or (V,) for one query
    clip: Tensor  # the same

    def fused(self, clip_weight: float) -> Tensor:
        """(Q, V): clip_weight · clip + (1 - clip_weight) · frame; a branch of no weight is not looked at."""
        if clip_weight in (0, 1):
            return self.clip if clip_weight else self.frame
        return clip_weight * self.clip + (1 - clip_weight) * self.frame


QuerySide = TypeVar("QuerySide")
VideoSide = TypeVar("VideoSide")


class Made(NamedTuple, Generic[QuerySide, VideoSide]):
    """What a network makes of each side of a batch, before anything is compared: all that losses read of it.

    Either side is a tensor or a method's own NamedTuple of tensors. The first axis is Q on the one side and V on the
    other, so that several processes can exchange their rows without knowing what they are.
    """

    queries: QuerySide
    videos: VideoSide


class Loss(NamedTuple):
    """What a step learns from."""

    total: Tensor  # a scalar, with its gradient
    terms: Mapping[str, Tensor]  # scalars by name, unweighted and without gradient: the columns of a run's log


class TokenSpans(NamedTuple):
    """Seconds of every token that a model makes of V videos, in the order of its `VideoTokens`."""

    frames: Tensor  # (V, T, 2)
    clips: Tensor  # (V, C, 2)


class RetrievalModel(Protocol):
    """The two towers: all that evaluation, the index and search need of a model."""

    @property
    def clip_weight(self) -> float:
        """Share of the clip branch in the fused score, 0..1."""
        ...

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """-> (Q, D)."""
        ...

    def encode_videos(self, videos: Any) -> VideoTokens:
        """V videos in the model's own form (`Videos`) -> tokens of both branches."""
        ...

    def token_spans(self, videos: Any) -> TokenSpans:
        """Seconds of those tokens."""
        ...


@runtime_checkable
class QueryAtVideo(Protocol):
    """A model whose scores do not follow from the cosine of one query vector with one token.

    No index of vectors can serve it: it ranks a library that it reads whole, or re-ranks what another system found.
    """

    def scores(self, query: Tensor, tokens: VideoTokens) -> BranchScores:
        """query (Q, D), as `encode_queries` made it, against V videos -> (Q, V) of each branch."""
        ...


class Bank(NamedTuple):
    """The vectors that one video is searched by."""

    tokens: Tensor  # (N, D) unit length, the frame branch first, then the clip branch
    spans: Tensor  # (N, 2) seconds
    num_frames: int  # how many of the N belong to the frame branch


class Candidate(NamedTuple):
    """One video of an index's answer, best first, with the evidence that moments are read from."""

    video_id: str
    score: float
    token_scores: Tensor  # (N,) cosine with the query
    bank: Bank


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One ranked answer: a video and the moments in it, best moment first."""

    video_id: str
    score: float
    moments: tuple[Span, ...]  # seconds, clamped to the video, not overlapping
    duration_s: float
    path: Path | None = None
    confidence: str = "not calibrated"  # or `confident`, `related`, `nothing found`
    p_topic: float | None = None  # chance that a sentence about other things does as well here; None: not calibrated
    p_instance: float | None = None  # chance that one about the same things, but with no target here, does as well
    relevance: tuple[float, ...] = ()  # mean score of every second, for drawing
    steps: tuple[Span, ...] = ()  # of `A then B`, in order of time; then the first moment spans them all
    channel: str = SEEN  # what the first moment is found by: SEEN, SAID or WRITTEN
    quote: str = ""  # what is said or written, where the words of the query, or their meaning, are in it
    same_as: str | None = None  # id of a video before it in the answer whose moment shows the same: this is a copy

    @property
    def video(self) -> str:
        """The file, or the id where the file is not known."""
        return text_of(self.path) if self.path else self.video_id

    @property
    def start(self) -> float:
        """Start of the best moment, seconds."""
        return self.moments[0][0]

    @property
    def end(self) -> float:
        """End of the best moment, seconds."""
        return self.moments[0][1]

    @property
    def state(self) -> Presence:
        """Whether the file is where it was: `here`, `missing`, or `features_only` where none is known; looks there."""
        return presence(self.path)

    def as_dict(self, state: str | None = None) -> dict[str, Any]:
        """As JSON tells it, on the command line and in the API: times to a millisecond; `state` where it is known."""
        moments, steps = ([(round(a, 3), round(b, 3)) for a, b in spans] for spans in (self.moments, self.steps))
        return {
            "video_id": self.video_id,
            "path": text_of(self.path) if self.path else None,
            "state": state or self.state,
            "score": round(self.score, 6),
            "confidence": self.confidence,
            "p_topic": self.p_topic,
            "p_instance": self.p_instance,
            **dict(zip(("start", "end"), moments[0], strict=True)),
            "moments": moments,
            "steps": steps,
            "channel": self.channel,
            "quote": self.quote,
            "same_as": self.same_as,
            "duration_s": round(self.duration_s, 3),
            "relevance": [round(value, 4) for value in self.relevance],
        }
