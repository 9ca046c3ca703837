"""What embeds queries and turns frozen features into banks: opened from the folder of a run, or a bare encoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from prvr.core.config import fingerprint, from_dict, to_dict
from prvr.core.errors import CheckpointError, ConfigError, FeatureError
from prvr.core.files import refuse_newer
from prvr.core.method import Method, Prepared, RankSettings
from prvr.core.types import (
    Bank,
    EncoderSpec,
    FeatureSpec,
    QueryAtVideo,
    RetrievalModel,
    TextFeatures,
    TokenSpans,
    VideoFeatures,
    VideoTokens,
)
from prvr.core.vectors import unit_queries
from prvr.core.weights import WEIGHTS, load_weights, put_weights
from prvr.ranker.names import find_method, named_in, unsettled

CONFIG = "config.json"
FORMAT = 2  # of the folder of a run; those of 1 say no number
ABOUT = "about.json"
SEAL = "sum"  # in the config: of all else in it; none where an earlier version wrote it, or somebody changed it
BARE = "prvr.methods.zero_shot.network:METHOD"
WINDOWS = "prvr.methods.zero_shot.windows:METHOD"
BOTH = 0.5  # share of windows beside frames, where nobody says


@dataclass(frozen=True, kw_only=True)
class Ranker:
    """A model that ranks, with what it needs to read a video."""

    method: Method[Any, Any]
    title: str  # how people call it
    features: FeatureSpec
    model: RetrievalModel
    prepared: Prepared  # how it reads frozen features
    width: int  # D of the vectors it makes
    recipe: str = ""  # `package.module:function` that it was trained by; a text, nothing is looked up by it
    settings: Mapping[str, Any] = field(default_factory=dict)  # all of the run's, as plain values
    selected_on: str | None = None  # the queries that chose its epoch; None: nothing was chosen
    selected_by: str | None = None  # their digest
    fingerprint: str = ""  # of the weights and all they were trained with; empty where nothing was trained

    @property
    def encoder(self) -> EncoderSpec:
        """What reads new videos for it. Raises CheckpointError for a model of a published pack, which nothing can."""
        if self.features.encoder is None:
            raise CheckpointError(
                f"{self.title}: was trained on the features {self.features.name}, whose encoder is not known, "
                "so it cannot read other videos; train on features that `prvr extract` made"
            )
        return self.features.encoder

    @property
    def reranks(self) -> bool:
        """Whether it needs the query at the video, so that no index of vectors can serve it."""
        return isinstance(self.model, QueryAtVideo)

    def embed(self, texts: TextFeatures) -> Tensor:
        """Q sentences as the frozen encoder sees them -> (Q, D)."""
        with torch.inference_mode():
            return self.model.encode_queries(unit_queries(texts))

    def banks(self, videos: Sequence[VideoFeatures]) -> list[Bank]:
        """Frozen features of some videos -> the vectors that each is searched by. Raises FeatureError."""
        batch, model = self.prepared.make(videos), self.model
        with torch.inference_mode():
            tokens = model.encode_videos(batch)
        if not torch.isfinite(tokens.frames).all():
            raise FeatureError("features hold numbers that are not finite; delete the feature store and extract again")
        spans = model.token_spans(batch)
        return [bank_of(tokens, spans, v, clip_weight=model.clip_weight) for v in range(len(videos))]


def bank_of(tokens: VideoTokens, spans: TokenSpans, v: int, *, clip_weight: float) -> Bank:
    """One of V videos -> the unit vectors of the branches that have a weight, with their spans."""
    parts, times = [], []
    for x, valid, seconds, weight in (
        (tokens.frames[v], tokens.frame_valid[v], spans.frames[v], 1 - clip_weight),
        (tokens.clips[v], tokens.clip_valid[v], spans.clips[v], clip_weight),
    ):
        parts.append(x[valid] if weight else x[:0])
        times.append(seconds[valid] if weight else seconds[:0])
    vectors = torch.nn.functional.normalize(torch.cat(parts), dim=-1, eps=1e-12)
    return Bank(vectors.float(), torch.cat(times).float(), len(parts[0]))


def ranker_of(
    method: Method[Any, Any],
    chosen: RankSettings[Any, Any],
    features: FeatureSpec,
    model: nn.Module,
    *,
    title: str = "",
    **about: Any,
) -> Ranker:
    """A network with the settings that it was built by, in eval mode."""
    return Ranker(
        method=method,
        title=title or method.title,
        features=features,
        model=cast(RetrievalModel, model.eval()),
        prepared=method.prepared(chosen.prepare),
        width=method.width(chosen.model, features),
        **about,
    )


def zero_shot(encoder: EncoderSpec, clip_weight: float | None = None) -> Ranker:
    """The bare encoder: max over frames; over windows where it reads those; over both, weighted, where there are two.

    Raises ConfigError for a weight outside 0..1, and for one where there is nothing to weigh.
    """
    features, clips = FeatureSpec.of_encoder(encoder), encoder.clips
    both = clips is not None and clips.width < encoder.width
    if clip_weight is not None and not both:
        raise ConfigError("--clip-weight: weighs frames against windows; give an --encoder and a --clip-encoder")
    method = find_method(BARE if clips is None else WINDOWS)
    weight = (BOTH if clip_weight is None else clip_weight) if both else 1.0
    settings = RankSettings(model=method.network(**({"clip_weight": weight} if clips else {})), prepare=method.cut())
    method.fit(settings.model, features)
    return ranker_of(method, settings, features, method.build(settings.model), settings=to_dict(settings))


def open_run(folder: Path, *, trust: Collection[str] = (), method: Method[Any, Any] | None = None) -> Ranker:
    """What a run trained, in eval mode on the CPU.

    The folder names its method, which is looked up in prvr and in the packages `trust` alone; `method` hands it over
    instead. Raises CheckpointError for a folder that is no run, a truncated checkpoint, weights of another model and a
    method that is not trusted.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        refuse_newer(path, config, FORMAT, CheckpointError, key="format")
        if config.pop(SEAL, None) not in (None, fingerprint(config)):
            raise CheckpointError(
                f"{path}: is not what was written, so the model would be another; get it from a copy of the run or, if "
                f'you changed it yourself, take "{SEAL}" out of it'
            )
        method = method or find_method(named_in(config, where=str(folder)), trust=trust, where=str(folder))
        settings = RankSettings(
            model=from_dict(method.network, unsettled(method.name, config["settings"]["model"], where=str(folder))),
            prepare=from_dict(method.cut, config["settings"]["prepare"]),
        )
        features = from_dict(FeatureSpec, config["features"])
        about = {name: config[name] for name in ("recipe", "settings", "selected_on", "selected_by")}
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder}: no run here (no {CONFIG}); train one with `prvr train RECIPE --data DIR --out {folder}`"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: is damaged or of another version ({error}); train again into another folder"
        ) from error
    weights, metadata = load_weights(folder / WEIGHTS)
    model = method.build(settings.model)
    put_weights(model, weights, where=str(folder / WEIGHTS))
    return ranker_of(
        method,
        settings,
        features,
        model,
        title=read_about(folder).get("name") or config.get("title", ""),
        fingerprint=fingerprint({**config, "metadata": metadata, "weights": _digest(weights)}),
        **about,
    )


def read_about(folder: Path) -> dict[str, str]:
    """The `name` and the `notes` that somebody gave a run; nothing where nobody did, or the file is damaged."""
    try:
        said = json.loads((folder / ABOUT).read_bytes())
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in said.items() if isinstance(value, str)} if isinstance(said, dict) else {}


def _digest(weights: Mapping[str, Tensor]) -> str:
    content = hashlib.sha256()
    for name in sorted(weights):
        content.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return content.hexdigest()
