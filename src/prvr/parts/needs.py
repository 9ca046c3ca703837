"""What methods need of features beyond their widths, and how to get it where it is not there."""

from __future__ import annotations

from typing import Any

from prvr.core.errors import ConfigError
from prvr.core.method import check_widths
from prvr.core.types import FeatureSpec

_GET = "bring those of a CLIP-type encoder (`prvr extract VIDEOS --encoder NAME`, or a published CLIP pack)"


def apart(features: FeatureSpec) -> str:
    """Why frames and sentences cannot be compared as they are; empty where they can, or where nobody knows better."""
    if features.comparable:
        return ""
    if not features.video_width:
        return f"{features.name}: holds sentences alone, and no frames"
    if features.video_width != features.text_width:
        return f"{features.name}: frames are {features.video_width} wide and sentences {features.text_width}"
    if features.simulated:
        return f"{features.name}: simulated frames are a random map of what is said, in a space of their own"
    return f"{features.name}: words come from a model that has never seen a picture"


def check_common_space(_: Any, features: FeatureSpec) -> None:
    """Raises ConfigError unless frames and sentences may be compared without training."""
    if why := apart(features):
        raise ConfigError(
            f"{why}, so there is no common space to rank in without training; train a recipe on them, or {_GET}"
        )


def check_sentences(model: Any, features: FeatureSpec) -> None:
    """Raises ConfigError unless the network's widths fit and each query has a vector for the whole sentence."""
    check_widths(model, features)
    if features.sentence_vector is False:
        raise ConfigError(
            f"{features.name}: has words alone and no sentence vector, which is all that this system reads of a query; "
            f"{_GET}"
        )


def check_teacher(features: FeatureSpec) -> None:
    """Raises ConfigError unless the teacher, or else what the student reads, has frames and sentences in one space."""
    if why := apart(features.teacher or features):
        raise ConfigError(
            f"{why}, so there is no common space, and no teacher for DL-DKD; `--teacher FOLDER` "
            "takes those of the same videos and queries by a CLIP-type encoder (made with `prvr extract`, or a "
            "published CLIP pack); without a teacher: `--set loss.distill=0 --set loss.labels=hard`"
        )
