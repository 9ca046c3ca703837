"""A recipe put to work: train it, open what was trained, measure it.

A run folder holds `config.json` (recipe, settings, features), `model.safetensors` (the best weights),
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
from prvr.core.types import Batch, EncoderSpec, FeatureSpec, Query, RetrievalModel, VideoBatch, VideoFeatures
from prvr.data.benchmarks import hold_out
from prvr.data.dataset import RetrievalSet
from prvr.data.folder import DataFolder
from prvr.encoders.devices import pick_device
from prvr.evaluation.measured import Measured
from prvr.parts.sampling import average_positions
from prvr.runs.imports import import_official
from prvr.runs.measure import About, measured, recalls
from prvr.methods.recipe import Recipe, Settings, load_recipe
from prvr.methods.zero_shot.runs import max_over_frames
from prvr.training.checkpoint import load_weights, put_weights, save_weights
from prvr.training.distributed import joined
from prvr.training.loop import WEIGHTS, TrainProgress, TrainResult, train

CONFIG = "config.json"
HELD_OUT = 0.1  # share of the training videos that chooses the epoch under the clean protocol


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model that ranks, with what it needs to read a video."""

    recipe: Recipe
    features: FeatureSpec
    model: RetrievalModel
    selected_on: str | None = None  # the queries that chose its epoch; None: nothing was chosen
    selected_by: str | None = None  # their digest
    fingerprint: str = ""  # of the weights and all they were trained with; empty where nothing was trained

    @property
    def encoder(self) -> EncoderSpec:
        """What reads new videos for it. Raises CheckpointError for a model of a published pack, which nothing can."""
        if self.features.encoder is None:
            raise CheckpointError(
                f"{self.recipe.title}: was trained on the features {self.features.name}, whose encoder is not known, "
                "so it cannot read other videos; train on features that `prvr extract` made"
            )
        return self.features.encoder

    @property
    def width(self) -> int:
        """D of the vectors it makes."""
        return self.recipe.width(self.recipe.settings, self.features)

    def prepare(self, videos: Sequence[VideoFeatures]) -> VideoBatch:
        """Frozen features -> what the model reads."""
        return self.recipe.prepare(self.recipe.settings, videos)


def zero_shot(encoder: EncoderSpec) -> Trained:
    """The bare encoder: max over frames."""
    return untrained(max_over_frames(), FeatureSpec.of_encoder(encoder))


def untrained(recipe: Recipe, features: FeatureSpec) -> Trained:
    """A recipe as it is before training, on some features. Raises ConfigError when it does not suit them."""
    recipe.fit(recipe.settings, features)
    return Trained(recipe=recipe, features=features, model=_ranker(recipe))


def open_run(folder: Path) -> Trained:
    """What a run trained, in eval mode on the CPU.

    Raises CheckpointError for a folder that is no run, a truncated checkpoint or weights of another model.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        recipe = load_recipe(config["recipe"])
        recipe = replace(recipe, settings=from_dict(type(recipe.settings), config["settings"]))
        features = from_dict(FeatureSpec, config["features"])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder}: no run here (no {CONFIG}); train one with `prvr train RECIPE --data DIR --out {folder}`"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: is damaged or of another version ({error}); train again into another folder"
        ) from error
    weights, metadata = load_weights(folder / WEIGHTS)
    model = _ranker(recipe)
    put_weights(cast(nn.Module, model), weights, where=str(folder / WEIGHTS))
    identity = fingerprint({**config, "metadata": metadata, "weights": _digest(weights)})
    return Trained(
        recipe=recipe,
        features=features,
        model=model,
        selected_on=config["selected_on"],
        selected_by=config["selected_by"],
        fingerprint=identity,
    )


def train_run(
    recipe: Recipe,
    data: DataFolder,
    folder: Path,
    *,
    clean: bool = False,
    device: str = "auto",
    on_progress: Callable[[TrainProgress], None] | None = None,
) -> TrainResult:
    """Train a recipe on the split `train`; goes on where it was interrupted.

    The epoch is chosen on `val`, which the four benchmarks also report on (the published protocol), or, `clean`, on a
    seeded part of the training videos that is held out. Raises ConfigError for a recipe that has nothing to train or
    does not fit the features, DataError and FeatureError for data that do not fit together, CheckpointError for a
    folder that holds another run.
    """
    recipe.fit(recipe.settings, data.spec)
    if recipe.objective is None or recipe.optimizer is None:
        raise ConfigError(f"{recipe.target}: has nothing to train; measure it with `prvr evaluate zero-shot`")
    if recipe.trainable:
        recipe.trainable(recipe.settings, data.spec)
    settings, where = recipe.settings, pick_device(device).name
    splits = Splits(recipe, data, clean=clean)
    model = recipe.build(settings)
    with joined(where) as ranks:
        # prepared before any epoch is seeded: bringing an encoder draws random numbers
        num_videos = ranks.from_first(splits.prepare)
        config = {
            "recipe": recipe.target,
            "settings": to_dict(settings),
            "features": to_dict(data.spec),
            "selected_on": splits.selected_on,
            "selected_by": splits.val.digest,
        }
        ranks.from_first(partial(_describe, folder, config))
        return train(
            model,
            objective=recipe.objective(settings),
            batches=partial(_epoch, splits, settings),
            optimizer=recipe.optimizer(settings, model, -(-num_videos // settings.batch_videos)),
            validate=partial(_validate, splits=splits, device=where),
            folder=folder,
            config=settings.train,
            metadata={
                "recipe": recipe.target,
                "features": " taught by ".join(f"{x.name} {x.revision}" for x in (data.spec, data.spec.teacher) if x),
                "settings": json.dumps(_lasting(settings)),
                "selected_on": splits.selected_on,
            },
            device=where,
            on_progress=on_progress,
            ranks=ranks,
        )


def import_run(checkpoint: Path, recipe: Recipe, data: DataFolder, folder: Path) -> Trained:
    """A network that the authors of the recipe's system trained, as a run folder for the features in `data`.

    Raises CheckpointError for a file that is not one, for a folder that holds a run, and for features of other widths;
    ConfigError where the features do not suit it.
    """
    if (folder / CONFIG).exists():
        raise CheckpointError(f"{folder}: holds a run already; choose another folder")
    settings, weights = import_official(checkpoint, recipe)
    reads, found = ((x.video_width, x.text_width) for x in (settings.model, data.spec))
    if reads != found:
        raise CheckpointError(
            f"{checkpoint}: reads frames {reads[0]} and words {reads[1]} wide, but those of {data.spec.name} are "
            f"{found[0]} and {found[1]} wide; name the features that it was trained on with --features"
        )
    recipe.fit(settings, data.spec)
    config = {
        "recipe": recipe.target,
        "settings": to_dict(settings),
        "features": to_dict(data.spec),
        "selected_on": data.reported,  # as its authors do
        "selected_by": None,
    }
    _describe(folder, config)
    save_weights(folder / WEIGHTS, weights, {"imported": checkpoint.name})
    return open_run(folder)


def evaluate_run(trained: Trained, data: DataFolder, split: str, *, device: str = "auto") -> Measured:
    """Measure on one split. Raises CheckpointError when the features are not those it was trained on."""
    if not data.spec.same_as(trained.features):
        raise CheckpointError(
            f"{trained.recipe.title}: was trained on features of {trained.features.name}, but {data.source.place} "
            f"holds those of {data.spec.name}; bring the first, or train anew"
        )
    recipe = trained.recipe
    items = load_split(recipe, data, split)
    # `val` and `test` of a benchmark are one split where its authors have one: what counts is what is in it
    chosen = split if items.digest == trained.selected_by else trained.selected_on
    about = About(
        split=split,
        selected_on=chosen,
        seed=recipe.settings.train.seed if recipe.objective else None,
        recipe=recipe.target,
        settings=fingerprint(to_dict(recipe.settings)),
        features=data.spec,
    )
    return measured(trained.model, items, about, device=pick_device(device).name)


def load_split(recipe: Recipe, data: DataFolder, split: str) -> RetrievalSet:
    """One split as a recipe's model reads it."""
    return _load(recipe, data, split, data.queries(split))


class Splits:
    """What training reads: the queries learned from, and those that choose the epoch; prepared when first asked for."""

    def __init__(self, recipe: Recipe, data: DataFolder, *, clean: bool = False) -> None:
        self._recipe, self._data = recipe, data
        self._seed = recipe.settings.train.seed
        self._clean = clean

    @property
    def selected_on(self) -> str:
        """The queries that choose the epoch, for people and for reports."""
        return f"{HELD_OUT:.0%} of train, held out" if self._clean else self._data.chooses

    def prepare(self) -> int:
        """Bring both to the disk, where other processes find them; -> videos to learn from."""
        return len(self.train) if len(self.val) else 0

    @cached_property
    def train(self) -> RetrievalSet:
        """What is learned from."""
        items = self._data.queries("train")
        kept = hold_out(items, share=HELD_OUT, seed=self._seed)[0] if self._clean else items
        return self._data.taught(self._load("train", kept), average_positions)

    @cached_property
    def val(self) -> RetrievalSet:
        """What chooses the epoch."""
        if not self._clean:
            return self._load(self._data.chooses, self._data.queries(self._data.chooses))
        held_out = hold_out(self._data.queries("train"), share=HELD_OUT, seed=self._seed)[1]
        return self._load("train, held out", held_out)

    def _load(self, name: str, items: Sequence[Query]) -> RetrievalSet:
        return _load(self._recipe, self._data, name, items)


def _load(recipe: Recipe, data: DataFolder, name: str, items: Sequence[Query]) -> RetrievalSet:
    return data.load(name, items, partial(recipe.prepare, recipe.settings), key=recipe.prepared_by)


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
