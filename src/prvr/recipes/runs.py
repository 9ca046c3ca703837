"""A recipe put to work: train it, open what was trained, measure it.

A run folder holds `config.json` (recipe, settings, encoder), `model.safetensors` (the best weights),
`last.safetensors` (where to go on), `metrics.jsonl` and `tensorboard/`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from prvr.core.config import fingerprint, from_dict, to_dict
from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.files import write_whole
from prvr.core.types import Batch, Encoder, EncoderSpec, RetrievalModel, VideoBatch, VideoFeatures
from prvr.data.dataset import RetrievalSet
from prvr.data.folder import DataFolder
from prvr.encoders.devices import pick_device
from prvr.encoders.loading import load_encoder
from prvr.evaluation.report import Report
from prvr.recipes.measure import measure, recalls
from prvr.recipes.recipe import Recipe, Settings, load_recipe
from prvr.recipes.zero_shot import max_over_frames
from prvr.training.checkpoint import load_weights, put_weights
from prvr.training.loop import WEIGHTS, TrainProgress, TrainResult, train

CONFIG = "config.json"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model that ranks, with what it needs to read a video."""

    recipe: Recipe
    encoder: EncoderSpec
    model: RetrievalModel
    fingerprint: str = ""  # of the weights and all they were trained with; empty where nothing was trained

    @property
    def width(self) -> int:
        """D of the vectors it makes."""
        return self.recipe.width(self.recipe.settings, self.encoder)

    def prepare(self, videos: Sequence[VideoFeatures]) -> VideoBatch:
        """Frozen features -> what the model reads."""
        return self.recipe.prepare(self.recipe.settings, videos)


def zero_shot(encoder: EncoderSpec) -> Trained:
    """The bare encoder: max over frames."""
    recipe = max_over_frames()
    return Trained(recipe=recipe, encoder=encoder, model=_ranker(recipe))


def open_run(folder: Path) -> Trained:
    """What a run trained, in eval mode on the CPU.

    Raises CheckpointError for a folder that is no run, a truncated checkpoint or weights of another model.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        recipe = load_recipe(config["recipe"])
        recipe = replace(recipe, settings=from_dict(type(recipe.settings), config["settings"]))
        encoder = from_dict(EncoderSpec, config["encoder"])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder}: no run here (no {CONFIG}); train one with `prvr train RECIPE --data DIR --out {folder}`"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}); train again into another folder") from error
    weights, metadata = load_weights(folder / WEIGHTS)
    model = _ranker(recipe)
    put_weights(cast(nn.Module, model), weights, where=str(folder / WEIGHTS))
    identity = fingerprint({**config, "metadata": metadata, "weights": _digest(weights)})
    return Trained(recipe=recipe, encoder=encoder, model=model, fingerprint=identity)


def train_run(
    recipe: Recipe,
    data: DataFolder,
    folder: Path,
    *,
    device: str = "auto",
    on_progress: Callable[[TrainProgress], None] | None = None,
) -> TrainResult:
    """Train a recipe on the split `train`, choosing the epoch on `val`; goes on where it was interrupted.

    Raises ConfigError for a recipe that has nothing to train or does not fit the features, DataError and FeatureError
    for data that do not fit together, CheckpointError for a folder that holds another run.
    """
    spec = data.store.header.encoder
    recipe.fit(recipe.settings, spec)
    if recipe.objective is None or recipe.optimizer is None:
        raise ConfigError(f"{recipe.target}: has nothing to train; measure it with `prvr evaluate zero-shot`")
    settings = recipe.settings
    splits = Splits(recipe, data)
    num_videos = len(splits.train)  # prepared before any epoch is seeded: bringing an encoder draws random numbers
    config = {"recipe": recipe.target, "settings": to_dict(settings), "encoder": to_dict(spec)}
    identity = {"recipe": recipe.target, "encoder": spec.fingerprint, "settings": json.dumps(_lasting(settings))}
    model = recipe.build(settings)
    where = pick_device(device).name
    _describe(folder, config)
    return train(
        model,
        objective=recipe.objective(settings),
        batches=partial(_epoch, splits, settings),
        optimizer=recipe.optimizer(settings, model, -(-num_videos // settings.batch_videos)),
        validate=partial(_validate, splits=splits, device=where),
        folder=folder,
        config=settings.train,
        metadata=identity,
        device=where,
        on_progress=on_progress,
    )


def evaluate_run(trained: Trained, data: DataFolder, split: str, *, device: str = "auto") -> Report:
    """Measure on one split. Raises CheckpointError when the features are not of the encoder it was trained on."""
    spec = data.store.header.encoder
    if not spec.same_as(trained.encoder):
        raise CheckpointError(
            f"{trained.recipe.title}: was trained on features of encoder {trained.encoder.fingerprint}, but "
            f"{data.store.folder} holds those of {spec.fingerprint}; extract again with the first, or train anew"
        )
    items = data.load(split, prepare=trained.prepare, encoder=partial(encoder_of, spec))
    trains = trained.recipe.objective is not None
    return measure(
        trained.model,
        items,
        split=split,
        device=pick_device(device).name,
        selected_on="val" if trains else None,
        seed=trained.recipe.settings.train.seed if trains else None,
    )


def encoder_of(spec: EncoderSpec) -> Encoder:
    """The encoder that made some features, from where it was then."""
    return load_encoder(spec.source or spec.name)


class Splits:
    """The two splits that training reads, prepared when they are first asked for."""

    def __init__(self, recipe: Recipe, data: DataFolder) -> None:
        self._load = partial(
            data.load,
            prepare=partial(recipe.prepare, recipe.settings),
            encoder=partial(encoder_of, data.store.header.encoder),
        )

    @cached_property
    def train(self) -> RetrievalSet:
        """What is learned from."""
        return self._load("train")

    @cached_property
    def val(self) -> RetrievalSet:
        """What chooses the epoch."""
        return self._load("val")


def _epoch(splits: Splits, settings: Settings, epoch: int) -> Iterator[Batch]:
    return splits.train.batches(settings.batch_videos, seed=settings.train.seed, epoch=epoch)


def _validate(model: nn.Module, *, splits: Splits, device: str) -> Mapping[str, float]:
    return recalls(cast(RetrievalModel, model), splits.val, device=device)


def _lasting(settings: Any) -> dict[str, Any]:
    """The settings that make a run what it is; how long it goes on may change."""
    values = to_dict(settings)
    return {**values, "train": {k: v for k, v in values["train"].items() if k not in ("epochs", "patience")}}


def _describe(folder: Path, config: Mapping[str, Any]) -> None:
    if (folder / CONFIG).exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / CONFIG, json.dumps(config, indent=1).encode())
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error


def _ranker(recipe: Recipe) -> RetrievalModel:
    return cast(RetrievalModel, recipe.build(recipe.settings).eval())


def _digest(weights: Mapping[str, Tensor]) -> str:
    content = hashlib.sha256()
    for name in sorted(weights):
        content.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return content.hexdigest()
