"""Annotations in, a folder of the published layout out::

OUT/simulated.json                       that it is simulated: every knob, the seed, the text encoder
OUT/FeatureData/simulated_<pack>.h5      video id -> (n, E) float16, under the keys of the published pack
OUT/TextData/simulated_<pack>.h5         query id -> (l, E) float16, the sentence as the last row
OUT/TextData/<collection><split>.caption.txt
OUT/annotations/<split>.jsonl            the queries with their windows, so that moments can be measured
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prvr.core.errors import ConfigError, DataError
from prvr.core.files import only_writer, write_whole
from prvr.core.types import Query
from prvr.data.annotations import group_by_video, write_queries
from prvr.data.benchmarks import Annotations, Benchmark
from prvr.data.benchmarks.captions import render
from prvr.data.benchmarks.catalogue import PackFiles
from prvr.data.simulate.config import SimulateConfig
from prvr.data.simulate.frames import Scene, num_frames, simulate_video
from prvr.data.simulate.pool import pool_sentences
from prvr.data.simulate.texts import TextEncoder, hashed_words, show
from prvr.features.packs import write_hdf5

Progress = Callable[[int, int], None]  # (videos done, videos in all)

SIMULATED = "simulated.json"
VERSION = 1  # of the way frames are made; the same knobs and version give the same values
OWN = PackFiles(  # what annotations of no known benchmark get
    title="own",
    video="FeatureData/features.h5",
    text="TextData/features.h5",
    video_width=512,
    text_width=512,
    token_limit=77,
)
_NOTE = "simulated by prvr: made from annotations, not from videos"
_POOL = 256  # sentences encoded at a time


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What a simulation wrote."""

    root: Path
    videos: int
    queries: int
    frames: int


def simulate(
    annotations: Annotations,
    out: Path,
    *,
    config: SimulateConfig,
    encoder: TextEncoder | None = None,
    on_progress: Progress | None = None,
) -> Simulated:
    """Simulated features of every annotated video and query into the folder `out`; without an encoder, hashed words.

    The same video gets the same features whatever else is annotated. Values are float16, as half the space loses less
    than a thousandth of a value. Raises DataError for a folder that holds other features and for a video of unknown
    length, ConfigError for a text width that the encoder does not have, FeatureError for a full or read-only disk.
    """
    pack = annotations.benchmark.packs[0] if annotations.benchmark else OWN
    encoder = encoder or hashed_words(config.text_width or pack.text_width)
    if config.text_width not in (None, encoder.width):
        raise ConfigError(
            f"simulate.text_width={config.text_width}: the text encoder {encoder.name} makes {encoder.width}; "
            "leave the width out"
        )
    splits = {split: annotations.queries(split) for split in annotations.splits}
    videos = group_by_video(_all_queries(splits))
    lengths = {video_id: _duration(queries) for video_id, queries in videos.items()}
    with only_writer(out, DataError, parts="*Data/.*.tmp"):
        _claim(out, annotations.benchmark, config, encoder)
        _write_annotations(out, annotations.benchmark, splits)
        write_hdf5(out / _simulated(pack.text), _words(videos, encoder), dtype="float16", note=_NOTE)
        scene = _scene(config, encoder, config.video_width or pack.video_width)

        def frames() -> Iterator[tuple[str, Tensor]]:
            for done, (video_id, queries) in enumerate(videos.items(), 1):
                made = _video(scene, encoder, video_id, lengths[video_id], queries)
                yield video_id.removeprefix(pack.drops), made
                if on_progress:
                    on_progress(done, len(videos))

        write_hdf5(out / _simulated(pack.video), frames(), dtype="float16", note=_NOTE)
    return Simulated(
        root=out,
        videos=len(videos),
        queries=sum(map(len, videos.values())),
        frames=sum(num_frames(length, config) for length in lengths.values()),
    )


def _all_queries(splits: Mapping[str, Sequence[Query]]) -> list[Query]:
    """The queries of all splits, each once. Raises DataError where two splits give one id to two sentences."""
    found: dict[str, Query] = {}
    for split, queries in splits.items():
        for query in queries:
            known = found.setdefault(query.query_id, query)
            if (known.text, known.video_id) != (query.text, query.video_id):
                raise DataError(
                    f"query id {query.query_id!r} of split {split!r} is another sentence in another split; "
                    "simulate these splits into folders of their own"
                )
    return list(found.values())


def _duration(queries: Sequence[Query]) -> float:
    """The video's length: as annotated, or until its last window ends."""
    known = [query.duration_s for query in queries if query.duration_s]
    length = max(known or [end for query in queries for _, end in query.windows], default=0.0)
    if not length > 0:
        raise DataError(
            f"video {queries[0].video_id!r}: neither its length nor a window of its queries is known; "
            "features can only be simulated where annotations say when things happen"
        )
    return length


def _claim(out: Path, benchmark: Benchmark | None, config: SimulateConfig, encoder: TextEncoder) -> None:
    """Says that the folder is simulated before there is a feature in it; never touches a folder of real features."""
    card = {
        "simulated": True,
        "version": VERSION,
        "benchmark": benchmark.name if benchmark else None,
        "text_encoder": encoder.name,
        "text_width": encoder.width,
        "config": config.knobs,
        "dtype": "float16",
    }
    text = json.dumps(card, indent=1) + "\n"
    path = out / SIMULATED
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise DataError(f"{out}: holds features simulated with other knobs; choose another folder, or delete this one")
    if not path.exists() and any((out / name).exists() for name in ("FeatureData", "TextData", "features")):
        raise DataError(f"{out}: holds features that are not simulated; simulate into another folder")
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); choose another folder") from error


def _write_annotations(out: Path, benchmark: Benchmark | None, splits: Mapping[str, Sequence[Query]]) -> None:
    try:
        for split, queries in splits.items():
            write_queries(out / "annotations" / f"{split}.jsonl", queries)
            path = out / (benchmark.caption_file(split) if benchmark else f"TextData/{split}.caption.txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, render(queries).encode())
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); free some space") from error


def _words(videos: Mapping[str, Sequence[Query]], encoder: TextEncoder) -> Iterator[tuple[str, Tensor]]:
    # one video's sentences at a time: what an encoder makes of a sentence may depend on its batch in the last digit
    for queries in videos.values():
        rows = encoder.rows([query.text for query in queries])
        yield from ((query.query_id, words) for query, words in zip(queries, rows, strict=True))


def _scene(config: SimulateConfig, encoder: TextEncoder, video_width: int) -> Scene:
    sentences = pool_sentences(config.distractors, seed=config.seed)
    parts = [encoder.encode(sentences[i : i + _POOL]).sentence for i in range(0, len(sentences), _POOL)]
    pool = torch.cat(parts) if parts else torch.zeros(0, encoder.width)
    return Scene.build(config, normalize(pool.float(), dim=1), video_width=video_width)


def _video(scene: Scene, encoder: TextEncoder, video_id: str, duration_s: float, queries: Sequence[Query]) -> Tensor:
    """(n, E) of one video from what its sentences show."""
    config = scene.config
    texts = [show(query.text, config.legibility, key=f"{config.seed} {video_id}") for query in queries]
    shown = normalize(encoder.encode(texts).sentence.float(), dim=1)
    shown[[not text for text in texts]] = 0  # where nothing shows, there is nothing to see
    return simulate_video(scene, video_id, duration_s, shown, [query.windows for query in queries])


def _simulated(file: str) -> Path:
    path = Path(file)
    return path.with_name(f"simulated_{path.name}")
