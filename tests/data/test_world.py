"""The generated world on disk: real files, exact annotations, nothing half-written."""

from __future__ import annotations

import fcntl
import json
import math
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from prvr.core.errors import DataError, FeatureError
from prvr.core.types import EncoderSpec, Query, TextFeatures
from prvr.data.annotations import group_by_video
from prvr.data.world import (
    World,
    generate_features,
    generate_world,
    iter_world,
    world_frames,
    world_queries,
    world_script,
)
from prvr.data.world.generate import SPLITS
from prvr.data.world.vocabulary import SIZES
from prvr.video.decode import sample_frames


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> World:
    return generate_world(tmp_path_factory.mktemp("world") / "tiny", size="tiny", seed=3, workers=1)


def test_every_file_decodes_and_is_as_long_as_its_annotations_say(tiny: World) -> None:
    queries = [query for split in SPLITS for query in tiny.queries(split)]
    durations = {query.video_id: query.duration_s for query in queries}
    assert len(tiny.videos) == SIZES["tiny"] == tiny.made
    for path in tiny.videos:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "vp8"
            times = [float(frame.time or 0.0) for frame in container.decode(video=0)]
        assert 20 <= len(times) / 8 <= 90
        assert durations[path.name] == pytest.approx(len(times) / 8)
        np.testing.assert_allclose(times, np.arange(len(times)) / 8, atol=1e-6)


def test_what_is_decoded_is_what_was_rendered(tiny: World) -> None:
    with av.open(str(tiny.videos[4])) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    script = world_script("tiny", 3, 4)
    indices = range(0, len(decoded), 24)
    rendered = world_frames(script, [i / 8 for i in indices]).transpose(0, 2, 3, 1)
    noise = [np.abs(decoded[i].astype(int) - frame).mean() for i, frame in zip(indices, rendered, strict=True)]
    assert 0.3 < float(np.mean(noise)) < 8  # grey levels: a codec's noise, no more


def test_windows_lie_in_the_video_and_apart(tiny: World) -> None:
    for split in SPLITS:
        for video_id, queries in group_by_video(tiny.queries(split)).items():
            assert 3 <= len(queries) <= 8
            assert [query.query_id for query in queries] == [f"{video_id}#{i}" for i in range(len(queries))]
            spans = [query.windows[0] for query in queries]
            assert all(len(query.windows) == 1 for query in queries)
            assert spans[0][0] > 0
            assert spans[-1][1] < (queries[0].duration_s or 0)
            assert all(before[1] < after[0] for before, after in pairwise(spans))


def test_splits_share_no_video_and_have_their_share() -> None:
    videos = {split: {query.video_id for query in world_queries("demo", 0, split)} for split in SPLITS}
    assert {split: len(found) for split, found in videos.items()} == {"train": 280, "val": 40, "test": 80}
    assert len(set.union(*videos.values())) == 400


def test_a_second_run_makes_only_what_is_missing(tiny: World, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    (root / "videos").mkdir(parents=True)
    (root / "world.json").write_text((tiny.root / "world.json").read_text())
    for path in tiny.videos:
        (root / "videos" / path.name).write_bytes(path.read_bytes())
    missing = [root / "videos" / f"w000{i}.webm" for i in (2, 7)]
    before = {path: path.stat().st_mtime_ns for path in (root / "videos").iterdir() if path not in missing}
    for path in missing:
        path.unlink()
    left_over = root / "videos" / ".w0002.webm.99.tmp"
    left_over.write_bytes(b"half of a vid")
    calls: list[tuple[int, int]] = []

    again = generate_world(root, size="tiny", seed=3, progress=lambda done, total: calls.append((done, total)))

    assert again.made == 2
    assert calls == [(10, 12), (11, 12), (12, 12)]
    assert not left_over.exists()
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    for path in missing:
        assert path.read_bytes() == (tiny.root / "videos" / path.name).read_bytes()
    assert generate_world(root, size="tiny", seed=3).made == 0
    for split in SPLITS:
        assert again.queries(split) == tiny.queries(split) == world_queries("tiny", 3, split)


def test_processes_make_the_same_files(tiny: World, tmp_path: Path) -> None:
    made = generate_world(tmp_path, size="tiny", seed=3, workers=2)
    assert made.made == 12
    assert [path.read_bytes() for path in made.videos] == [path.read_bytes() for path in tiny.videos]


def test_another_world_is_not_mixed_in(tiny: World) -> None:
    with pytest.raises(
        DataError, match=r"tiny: holds another world \(size tiny, seed 3.*not size tiny, seed 4.*another folder"
    ):
        generate_world(tiny.root, size="tiny", seed=4)
    with pytest.raises(DataError, match="holds another world"):
        generate_world(tiny.root, size="demo", seed=3)
    with pytest.raises(DataError, match="'huge' is unknown; choose one of tiny, demo, large"):
        generate_world(tiny.root, size="huge")


def test_bad_folders_end_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "world.json").write_text("{")
    with pytest.raises(DataError, match=r"world\.json: is not the header of a generated world"):
        generate_world(tmp_path / "broken", size="tiny")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: cannot be written"):
        generate_world(tmp_path / "file", size="tiny")
    (tmp_path / "busy").mkdir()
    with (tmp_path / "busy" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="busy: another prvr process is writing here"):
            generate_world(tmp_path / "busy", size="tiny")


def test_a_full_disk_ends_in_one_line_and_loses_nothing(
    tiny: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "annotations").mkdir()
    (tmp_path / "world.json").write_text((tiny.root / "world.json").read_text())
    for split in SPLITS:
        name = f"annotations/{split}.jsonl"
        (tmp_path / name).write_bytes((tiny.root / name).read_bytes())
    monkeypatch.setattr("prvr.data.world.film.write_whole", full)
    with pytest.raises(DataError, match="No space left on device.*run the same again"):
        generate_world(tmp_path, size="tiny", seed=3, workers=1)
    assert not list((tmp_path / "videos").iterdir())


KILLED = """
import multiprocessing, sys
from pathlib import Path
from prvr.data.world import generate_world

def tell(done, total):
    if done == 2:
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)

if __name__ == "__main__":
    generate_world(Path(sys.argv[1]), size="tiny", seed=3, workers=2, progress=tell)
"""


def test_a_killed_run_leaves_nothing_half_written_and_nobody_behind(tiny: World, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    root = tmp_path / "world"
    with subprocess.Popen([sys.executable, str(script), str(root)], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        children = [int(pid) for pid in run.stdout.readline().split()]
        run.kill()
    assert len(children) == 2
    deadline = time.monotonic() + 300
    while any(is_running(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(pid) for pid in children)
    for path in (root / "videos").glob("*.webm"):
        assert path.read_bytes() == (tiny.root / "videos" / path.name).read_bytes()
    again = generate_world(root, size="tiny", seed=3, workers=1)
    assert 0 < again.made <= 10
    assert len(again.videos) == len(list((root / "videos").iterdir())) == 12


def is_running(pid: int) -> bool:
    try:
        return "(" in (stat := Path(f"/proc/{pid}/stat").read_text()) and stat.rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class MeanColour:
    """An encoder whose features are the mean colour of each frame."""

    @property
    def spec(self) -> EncoderSpec:
        grey = (0.0, 0.0, 0.0)
        return EncoderSpec(
            name="mean", revision="1", width=3, image_size=(4, 4), mean=grey, std=grey, crop=False, token_limit=1
        )

    def prepare(self, frames: Tensor) -> Tensor:
        return frames.float()

    def encode_images(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))

    def encode_texts(self, texts: list[str]) -> TextFeatures:
        raise NotImplementedError

    def unknown_words(self, text: str) -> list[str]:
        return []


def test_features_without_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = generate_features(tmp_path, MeanColour(), size="tiny", seed=3)
    assert not list((tmp_path / "videos").iterdir())
    assert len(store.entries()) == 12
    for video in iter_world("tiny", 3):
        kept = store.read(video.video_id)
        torch.testing.assert_close(kept.features, video.frames.float().mean(dim=(2, 3)))
        torch.testing.assert_close(kept.times, torch.arange(math.ceil(video.duration_s)).double())
        assert kept.duration_s == video.duration_s
    written = store.path_of("w0003.webm").stat().st_mtime_ns
    store.remove("w0005.webm")
    generate_features(tmp_path, MeanColour(), size="tiny", seed=3)
    assert "w0005.webm" in store
    assert store.path_of("w0003.webm").stat().st_mtime_ns == written
    with pytest.raises(FeatureError, match="frames/s"):
        generate_features(tmp_path, MeanColour(), size="tiny", seed=3, rate=2.0)


def test_without_files_the_sampled_moments_are_those_of_files(tiny: World) -> None:
    for rate in (0.5, 1.0, 3.0):
        for path, video in zip(tiny.videos, iter_world("tiny", 3, rate=rate), strict=True):
            frames = list(sample_frames(path, rate=rate))
            torch.testing.assert_close(torch.cat([batch.times for batch in frames]), video.times, atol=1e-3, rtol=0)


def test_header_says_what_it_is(tiny: World) -> None:
    assert json.loads((tiny.root / "world.json").read_text()) == {"size": "tiny", "seed": 3, "version": 1}


def test_annotations_read_back_as_queries(tiny: World) -> None:
    query = tiny.queries("test")[0]
    assert isinstance(query, Query)
    assert query.attributes is not None
    assert {"shape", "colour", "texture", "action", "scene"} <= set(query.attributes)
