from __future__ import annotations

import errno
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from prvr.core.errors import FeatureError
from prvr.core.processes import fresh_processes
from prvr.core.types import VideoFeatures
from prvr.core.weights import metadata_of
from prvr.features.store import FeatureStore
from prvr.features.texts import text_features
from prvr.service.jobs import LOADED
from tests.features.make import ColourEncoder, header, some_features, store_with


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    videos = {"a.mp4": some_features(3), "deep/ü" + "x" * 250 + ".mp4": some_features(1)}
    store_with(tmp_path, videos)
    store = FeatureStore.open(tmp_path)
    assert [entry.video_id for entry in store.entries()] == sorted(videos)
    for video_id, video in videos.items():
        again = store.read(video_id)
        torch.testing.assert_close(again.features, video.features, rtol=0, atol=0)
        torch.testing.assert_close(again.times, video.times, rtol=0, atol=0)
        assert again.duration_s == video.duration_s
        assert video_id in store
    assert "b.mp4" not in store


def test_others_can_read_it_without_us(tmp_path: Path) -> None:
    store_with(tmp_path, {"a.mp4": some_features(3)})
    (file,) = (tmp_path / "videos").iterdir()
    with safe_open(file, framework="np") as opened:
        assert opened.get_tensor("features").shape == (3, 3)
        assert opened.metadata()["video_id"] == "a.mp4"
        assert opened.metadata()["encoder"] == "colour@111111111111"


def test_encoders_are_never_mixed(tmp_path: Path) -> None:
    store_with(tmp_path, {})
    with pytest.raises(FeatureError, match=r"holds features of encoder colour@1{12}, not of colour@2{12}; use `--enc"):
        FeatureStore.create(tmp_path, header(revision="2" * 12))
    with pytest.raises(FeatureError, match="at 1 frames/s .* not at 2 .* use `--rate 1`"):
        FeatureStore.create(tmp_path, header(rate=2))
    first = header()
    typed = replace(first, encoder=replace(first.encoder, source="/models/mine"))  # what brings it again
    FeatureStore.create(tmp_path / "typed", typed)
    with pytest.raises(FeatureError, match="use `--encoder /models/mine`"):
        FeatureStore.create(tmp_path / "typed", header(revision="2" * 12))


def test_features_that_are_no_numbers_name_their_video(tmp_path: Path) -> None:
    video = some_features(3)
    video.features[1, 2] = torch.nan
    store = store_with(tmp_path, {"a.mp4": video, "b.mp4": some_features()})
    with pytest.raises(
        FeatureError, match=r"video 'a.mp4' holds NaN or infinity in 1 of 3 rows \(first: row 1\); delete th"
    ):
        store.read("a.mp4")
    assert len(store.read("b.mp4").features) == 5


def test_a_wrong_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"a.mp4: features are \(2, 4\), but encoder 'colour' makes \(T, 3\)"):
        store_with(tmp_path, {"a.mp4": VideoFeatures(torch.zeros(2, 4), torch.zeros(2), 1.0)})


def test_no_store_and_foreign_header(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="no feature store here; make one with `prvr extract"):
        FeatureStore.open(tmp_path)
    (tmp_path / "store.json").write_text("{}")
    with pytest.raises(FeatureError, match="is not the header of a feature store"):
        FeatureStore.open(tmp_path)


def test_the_head_alone_says_what_safetensors_says(tmp_path: Path) -> None:
    """A look at 20,000 videos reads heads only; a long id makes one that is read in two steps."""
    videos = {"a.mp4": some_features(3), "ü" * 3000: some_features(2)}
    store = store_with(tmp_path, videos)
    for video_id in videos:
        with safe_open(store.path_of(video_id), framework="np") as opened:
            assert metadata_of(store.path_of(video_id)) == opened.metadata()
        entry = store.entry(video_id)
        assert entry
        assert entry.video_id == video_id
    for head in (b"[]", b"{}", b'{"__metadata__": {}, "a": 1}', b'{"__metadata__": {}, "a": {}}', b"\xff", b"nonsense"):
        (tmp_path / "other").write_bytes(len(head).to_bytes(8, "little") + head)
        with pytest.raises(ValueError):
            metadata_of(tmp_path / "other")


@pytest.mark.parametrize("kept", [0, 7, 60, -1])
def test_a_truncated_file_counts_as_not_made(tmp_path: Path, kept: int) -> None:
    store = store_with(tmp_path, {"a.mp4": some_features(), "b.mp4": some_features()})
    path = store.path_of("a.mp4")
    path.write_bytes(path.read_bytes()[:kept])
    assert store.entry("a.mp4") is None
    assert [entry.video_id for entry in store.entries()] == ["b.mp4"]
    with pytest.raises(FeatureError, match=r"'a.mp4' are damaged .* run the same `prvr extract` again"):
        store.read("a.mp4")


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_with(tmp_path, {"a.mp4": some_features()})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FeatureError, match=r"cannot write the features of 'b.mp4' \(No space left on device\); free"):
        store.write("b.mp4", some_features(), source=tmp_path, size=1, mtime_ns=1)
    assert [path.name for path in (tmp_path / "videos").iterdir()] == [store.path_of("a.mp4").name]


def _hold(folder: Path, ready: multiprocessing.synchronize.Event, go: multiprocessing.synchronize.Event) -> None:
    with FeatureStore.open(folder).writing():
        ready.set()
        go.wait(30)


def test_two_writers_are_told_apart_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    store = store_with(tmp_path, {})
    context = fresh_processes(LOADED)
    ready, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready, go))
    other.start()
    assert ready.wait(30)
    with pytest.raises(FeatureError, match="another prvr process is writing here; wait for it"), store.writing():
        pass
    other.kill()
    other.join()
    with store.writing():
        pass


def test_half_written_files_of_a_killed_run_are_swept(tmp_path: Path) -> None:
    store = store_with(tmp_path, {"a.mp4": some_features()})
    (tmp_path / "videos" / ".x.safetensors.99.tmp").write_bytes(b"half")
    own = tmp_path / "mine" / ".x.tmp"
    own.parent.mkdir()
    own.write_bytes(b"somebody's own")
    assert len(store.entries()) == 1
    with store.writing():
        assert len(list((tmp_path / "videos").iterdir())) == 1
        assert own.exists()


def test_texts_are_encoded_once(tmp_path: Path) -> None:
    store = store_with(tmp_path, {})
    first = text_features(store, ["red ball", "blue"], ColourEncoder)
    assert first.sentence.tolist() == [[0.5, 0, 0], [0, 0, 1]]

    def never() -> ColourEncoder:
        raise AssertionError("the cache had them")

    again = text_features(store, ["red ball", "blue"], never)
    for a, b in zip(first, again, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    (kept,) = (tmp_path / "texts").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] + b"\x7f")
    assert torch.equal(text_features(store, ["red ball", "blue"], ColourEncoder).sentence, first.sentence), "made again"
    assert text_features(store, ["red"], lambda: ColourEncoder("renamed")).sentence.tolist() == [[1, 0, 0]]
    with pytest.raises(FeatureError, match=r"colour@1{12}, but colour@2{12} would read the queries"):
        text_features(store, ["green"], lambda: ColourEncoder(revision="2" * 12))


def test_features_that_are_not_what_was_written_are_named(tmp_path: Path) -> None:
    store = store_with(tmp_path, {"a.mp4": some_features(), "b.mp4": some_features()})
    path = store.path_of("a.mp4")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # of the last number
    path.write_bytes(content)
    again = FeatureStore.open(tmp_path)
    assert list(again.damaged()) == ["a.mp4"]
    with pytest.raises(FeatureError, match=r"'a\.mp4' are not what was written; delete that file and run the same"):
        again.read("a.mp4")
    again.read("b.mp4")
