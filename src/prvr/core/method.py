"""What a method is to those who rank and to the trainer: how its network is built, and how it reads videos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar, get_args

from prvr.core.config import fingerprint, to_dict
from prvr.core.errors import ConfigError
from prvr.core.types import Batch, FeatureSpec, Loss, VideoFeatures, Videos

if TYPE_CHECKING:
    from torch import nn

Network = TypeVar("Network")  # settings of a network
Cut = TypeVar("Cut")  # settings of how videos are cut

Precision = Literal["fp32", "tf32", "bf16"]
Draws = Literal["bytes", "torch"]

Learn = Callable[[Any, Batch[Any], int], Loss]
"""(what the network made of a batch, `Made`; the batch; the epoch) -> the loss, with the same terms in every step."""


class Prepared(NamedTuple):
    """How frozen features become what a network reads."""

    kind: type[Videos]
    make: Callable[[Sequence[VideoFeatures]], Videos]
    key: str  # names all that `make` depends on but the features, so that prepared videos can be kept


def check_widths(model: Any, features: FeatureSpec) -> None:
    """Raises ConfigError unless a network of these settings reads features of this width."""
    for name, kind in (("video_width", "frames"), ("text_width", "words")):
        found, expected = getattr(features, name), getattr(model, name)
        if found != expected:
            raise ConfigError(
                f"{kind} of {features.name} are {found} wide, but the model expects {expected}; "
                f"add `--set model.{name}={found}`"
            )


def hidden_width(model: Any, _: FeatureSpec) -> int:
    """D of a network whose vectors are as wide as it is."""
    width: int = model.hidden
    return width


@dataclass(frozen=True, kw_only=True)
class Method(Generic[Network, Cut]):
    """A network and how it reads videos: what a run's folder names, and all that ranking needs of a method.

    It has the name METHOD in the module of `build`, where it is looked up.
    """

    title: str  # how people call it
    network: type[Network]
    build: Callable[[Network], nn.Module]  # -> fits `RetrievalModel`
    cut: type[Cut]
    videos: type[Videos]
    prepare: Callable[[Sequence[VideoFeatures], Cut], Videos]
    width: Callable[[Network, FeatureSpec], int] = hidden_width  # D of the vectors that the network makes
    fit: Callable[[Network, FeatureSpec], None] = check_widths  # ConfigError unless a network suits the features

    @property
    def name(self) -> str:
        """`package.module:METHOD`, where this value can be imported from."""
        return f"{self.build.__module__}:METHOD"

    def prepared(self, cut: Cut) -> Prepared:
        """How videos are prepared with these settings."""
        how = f"{self.prepare.__module__}.{self.prepare.__qualname__}"
        key = fingerprint([how, to_dict(cut)])
        return Prepared(self.videos, lambda videos: self.prepare(videos, cut), key)


@dataclass(frozen=True, kw_only=True)
class RankSettings(Generic[Network, Cut]):
    """All there is to set where nothing is trained."""

    model: Network
    prepare: Cut


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long to train, what is best, and how the device computes."""

    epochs: int = 100
    patience: int = 10  # epochs without improvement that are borne; one more ends the run
    seed: int = 9527
    primary: str = "SumR"  # the validation metric that the best weights have most of
    precision: Precision = "fp32"  # of the network; losses, weights and the optimiser are fp32 always
    compile: bool = False  # the network by torch.compile: the same values, after minutes of compiling
    dropout: Draws = "bytes"  # one random byte an element, so rates in steps of 1/256; or torch's own: exact, slower

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ConfigError(f"train.epochs={self.epochs}: must be at least 1")
        if self.patience < 0:
            raise ConfigError(f"train.patience={self.patience}: must not be negative; 0 stops at the first setback")
        if not self.primary:
            raise ConfigError("train.primary: must name a validation metric, such as SumR")
        if self.precision not in get_args(Precision):
            raise ConfigError(f"train.precision={self.precision}: choose one of {', '.join(get_args(Precision))}")
        if self.dropout not in get_args(Draws):
            raise ConfigError(f"train.dropout={self.dropout}: choose one of {', '.join(get_args(Draws))}")
