"""Folders of video -> an index: extract, encode, add. Only what is missing or has changed is done again."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from prvr.core.errors import FeatureError, IndexFolderError
from prvr.core.files import write_whole
from prvr.core.types import Bank, Encoder, VideoBatch, VideoFeatures, VideoTokens
from prvr.features.extract import Extraction, Progress, extract
from prvr.features.store import Entry, FeatureStore
from prvr.index.base import IndexHeader
from prvr.index.exact import TABLE, ExactIndex, read_header
from prvr.recipes.runs import CONFIG, Trained, open_run, zero_shot
from prvr.search.engine import ZERO_SHOT
from prvr.training.loop import WEIGHTS


@dataclass(frozen=True, kw_only=True)
class Indexing:
    """What building an index did."""

    extraction: Extraction
    added: tuple[str, ...]  # video ids whose vectors were made now
    num_videos: int  # in the index, in all


def build_index(
    paths: Sequence[Path],
    folder: Path,
    encoder: Encoder,
    *,
    model: Path | None = None,
    rate: float = 1.0,
    max_frames: int | None = None,
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Indexing:
    """Every video below `paths` into the index at `folder`.

    `model` is a run folder; without it the model that the index has, or the bare encoder in a new one.

    Raises IndexFolderError when the index there is of another encoder or model. Stopped at any moment, it keeps the
    features that are finished, and the next call goes on from there.
    """
    model = model or _model_of(folder)
    trained = open_run(model) if model else zero_shot(encoder.spec)
    if not trained.encoder.same_as(encoder.spec):
        raise IndexFolderError(
            f"{model}: was trained on features of encoder {trained.encoder.fingerprint}, "
            f"not {encoder.spec.fingerprint}; index with `--encoder {trained.encoder.source or trained.encoder.name}`"
        )
    index = _open_or_new(folder, encoder, trained)
    extraction = extract(
        paths,
        encoder,
        folder / "features",
        rate=rate,
        max_frames=max_frames,
        workers=workers,
        on_progress=on_progress,
    )
    with extraction.store.writing():
        if model:
            _keep_model(model, folder / "model")
        added = refresh(index, extraction.store, trained, extraction.video_ids)
        if added or not (folder / TABLE).exists():
            index.save(folder)
    return Indexing(extraction=extraction, added=tuple(added), num_videos=len(index))


def refresh(
    index: ExactIndex, store: FeatureStore, trained: Trained, video_ids: Sequence[str], *, size: int = 64
) -> list[str]:
    """Add the videos whose features are newer than their vectors; -> their ids."""
    entries = [entry for entry in map(store.entry, video_ids) if entry]
    stale = [entry for entry in entries if index.versions.get(entry.video_id) != _version(entry)]
    for at in range(0, len(stale), size):
        chunk = stale[at : at + size]
        videos = [store.read(entry.video_id) for entry in chunk]
        for entry, bank in zip(chunk, banks(trained, videos), strict=True):
            index.add(entry.video_id, bank, version=_version(entry))
    return [entry.video_id for entry in stale]


def banks(trained: Trained, videos: Sequence[VideoFeatures]) -> list[Bank]:
    """Frozen features of some videos -> the vectors that each is searched by."""
    batch = trained.prepare(videos)
    with torch.inference_mode():
        tokens = trained.model.encode_videos(batch)
    if not torch.isfinite(tokens.frames).all():
        raise FeatureError("features hold numbers that are not finite; delete the feature store and extract again")
    return [bank_of(batch, tokens, v, with_clips=trained.model.clip_weight > 0) for v in range(len(videos))]


def bank_of(batch: VideoBatch, tokens: VideoTokens, v: int, *, with_clips: bool) -> Bank:
    """One video of a batch -> its unit vectors with their spans; a clip spans all the frames that went to it."""
    real = tokens.frame_valid[v]
    frames, spans = tokens.frames[v][real], batch.frame_spans[v][real]
    parts, times = [frames], [spans]
    if with_clips:
        used, slot = tokens.clip_valid[v], batch.slot[v][real]
        num_clips = len(used)
        start = spans.new_full((num_clips,), torch.inf).scatter_reduce(0, slot, spans[:, 0], "amin")
        end = spans.new_full((num_clips,), -torch.inf).scatter_reduce(0, slot, spans[:, 1], "amax")
        parts.append(tokens.clips[v][used])
        times.append(torch.stack([start, end], 1)[used])
    vectors = torch.nn.functional.normalize(torch.cat(parts), dim=-1, eps=1e-12)
    return Bank(vectors.float(), torch.cat(times).float(), len(frames))


def _model_of(folder: Path) -> Path | None:
    """Where the model of an index lies; None for a bare encoder, or where there is no index yet."""
    header = read_header(folder)
    return None if header is None or header.model == ZERO_SHOT else folder / "model"


def _open_or_new(folder: Path, encoder: Encoder, trained: Trained) -> ExactIndex:
    header = IndexHeader(
        encoder=encoder.spec,
        model=trained.fingerprint or ZERO_SHOT,
        width=trained.width,
        clip_weight=trained.model.clip_weight,
    )
    ours = read_header(folder)
    if ours is None:
        return ExactIndex(header)
    if not ours.encoder.same_as(header.encoder) or ours.model != header.model:
        raise IndexFolderError(
            f"{folder}: was made with encoder {ours.encoder.fingerprint} and model {ours.model}, not with "
            f"{header.encoder.fingerprint} and {header.model}; scores of the two cannot be compared: "
            "give the same ones, or index into another folder"
        )
    return ExactIndex.open(folder)


def _keep_model(run: Path, copy: Path) -> None:
    """The index carries its model, so that moving or deleting the run changes nothing."""
    try:
        copy.mkdir(parents=True, exist_ok=True)
        for name in (CONFIG, WEIGHTS):
            if not (copy / name).exists() or not filecmp.cmp(run / name, copy / name, shallow=False):
                write_whole(copy / name, (run / name).read_bytes())
    except OSError as error:
        raise IndexFolderError(
            f"{copy}: the model cannot be copied here ({error.strerror}); free some space, then run the command again"
        ) from error


def _version(entry: Entry) -> str:
    return f"{entry.size}:{entry.mtime_ns}"
