"""Real files through the whole extraction: what is done stays done, what is missing is made, nothing is half."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from prvr.core.errors import FeatureError, VideoError
from prvr.features.extract import Progress, extract
from prvr.features.store import FeatureStore
from prvr.video.decode import sample_frames
from prvr.video.probe import READING, probe
from tests.features.make import COLOURS, ColourEncoder
from tests.fresh import Fresh
from tests.serve.conftest import until
from tests.video.make import Image, steps, write_video


def paint(path: Path, *colours: str, rate: float = 5.0) -> Path:
    """A video that shows one colour after another, a second each."""

    def draw(time_s: float) -> Image:
        colour = COLOURS[colours[min(int(time_s), len(colours) - 1)]]
        return np.full((32, 48, 3), np.array(colour) * 255, np.uint8)

    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, steps(len(colours), rate), draw=draw)
    return path


@pytest.fixture
def library(tmp_path: Path) -> Path:
    root = tmp_path / "videos"
    paint(root / "a.mp4", "red", "green", "blue")
    paint(root / "deep" / "b.mp4", "blue", "blue")
    (root / "bad.mp4").write_text("this is no video")
    return root


def test_features_are_what_the_frames_show(library: Path, tmp_path: Path) -> None:
    done = extract([library], ColourEncoder(), tmp_path / "out")
    assert sorted(done.made) == ["a.mp4", "deep/b.mp4"]
    assert list(done.failed) == [str(library / "bad.mp4")]
    assert "bad.mp4" in done.failed[str(library / "bad.mp4")]
    video = done.store.read("a.mp4")
    assert video.times.tolist() == pytest.approx([0, 1, 2], abs=0.01)
    assert video.duration_s == pytest.approx(3, abs=0.05)
    torch.testing.assert_close(video.features, torch.eye(3), atol=0.05, rtol=0)


@pytest.mark.parametrize("most", [None, 1])
def test_a_file_is_opened_to_measure_it_and_to_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    paint(tmp_path / "a.mp4", "red", "blue")
    real, opened = av.open, []

    def count(*args: Any, **kwargs: Any) -> Any:
        opened.append(args[0])
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(av, "open", count)
        frames = sample_frames(tmp_path / "a.mp4", max_frames=most)
        duration_s, _ = frames.duration_s, list(frames)
    assert len(opened) == 2
    assert duration_s == probe(tmp_path / "a.mp4").duration_s


def test_a_second_run_does_only_what_is_missing_or_changed(library: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract([library], ColourEncoder(), out)
    again = extract([library], ColourEncoder(), out)
    assert again.made == ()
    assert sorted(again.kept) == ["a.mp4", "deep/b.mp4"]
    paint(library / "new.mp4", "green")
    paint(library / "a.mp4", "green", "green")
    third = extract([library], ColourEncoder(), out)
    assert sorted(third.made) == ["a.mp4", "new.mp4"]
    torch.testing.assert_close(third.store.read("a.mp4").features[0], torch.tensor([0.0, 1, 0]), atol=0.05, rtol=0)


def test_an_encoder_that_makes_no_numbers_names_the_video(library: Path, tmp_path: Path) -> None:
    class Broken(ColourEncoder):
        def encode_images(self, images: torch.Tensor) -> torch.Tensor:
            made = super().encode_images(images)
            return made / (made[:, :1] < 0.5)  # what is red becomes infinite

    found = extract([library], Broken(), tmp_path / "out")
    assert {Path(path).name for path in found.failed} == {"a.mp4", "bad.mp4"}
    assert "a.mp4: the encoder made NaN or infinity of it" in found.failed[str(library / "a.mp4")]
    assert list(found.made) == ["deep/b.mp4"]


def test_number_of_workers_changes_nothing(library: Path, tmp_path: Path) -> None:
    for workers in (1, 3):
        extract([library], ColourEncoder(), tmp_path / str(workers), workers=workers, rate=2.5)
    one, three = (FeatureStore.open(tmp_path / str(workers)) for workers in (1, 3))
    for entry in one.entries():
        torch.testing.assert_close(one.read(entry.video_id), three.read(entry.video_id), rtol=0, atol=0)


def test_one_name_in_two_folders_stays_two_videos(tmp_path: Path) -> None:
    paint(tmp_path / "x" / "a.mp4", "red")
    paint(tmp_path / "y" / "a.mp4", "blue")
    out = tmp_path / "out"
    both = extract([tmp_path / "x", tmp_path / "y"], ColourEncoder(), out)
    assert sorted(both.made) == ["a.mp4", "y/a.mp4"]
    assert extract([tmp_path / "y"], ColourEncoder(), out).made == ()
    assert extract([tmp_path / "y", tmp_path / "x", tmp_path / "x" / "a.mp4"], ColourEncoder(), out).made == ()
    assert len(FeatureStore.open(out).entries()) == 2


def test_a_folder_that_moved_is_not_read_again(library: Path, tmp_path: Path) -> None:
    extract([library], ColourEncoder(), tmp_path / "out")
    moved = library.rename(tmp_path / "elsewhere")
    assert extract([moved], ColourEncoder(), tmp_path / "out").made == ()


def test_stopped_in_the_middle_it_goes_on(library: Path, tmp_path: Path) -> None:
    for i in range(4):
        shutil.copy(library / "a.mp4", library / f"copy{i}.mp4")

    def stop(progress: Progress) -> None:
        if progress.done >= 2:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        extract([library], ColourEncoder(), out, workers=1, on_progress=stop)
    finished = {entry.video_id for entry in FeatureStore.open(out).entries()}
    assert finished
    rest = extract([library], ColourEncoder(), out)
    assert finished.isdisjoint(rest.made)
    assert len(rest.video_ids) == 6


def test_killed_at_any_moment_it_goes_on(tmp_path: Path) -> None:
    """Kill -9 a real process again and again: what it leaves is whole, and the last run completes it."""
    root, out = tmp_path / "videos", tmp_path / "out"
    paint(root / "0.mp4", *["red", "green", "blue"] * 4, rate=10)
    for i in range(1, 12):
        shutil.copy(root / "0.mp4", root / f"{i}.mp4")
    code = textwrap.dedent(f"""
        from pathlib import Path
        from prvr.features.extract import extract
        from tests.features.make import ColourEncoder
        extract([Path({str(root)!r})], ColourEncoder(), Path({str(out)!r}), workers=1, rate=10.0)
    """)
    videos = out / "videos"
    for finished in (0, 2, 5):  # while the one after these is made
        with Fresh(code):
            until(lambda finished=finished: len(list(videos.glob("*.safetensors"))) >= finished)  # type: ignore[misc]
        for path in videos.glob("*.safetensors"):
            assert FeatureStore.open(out)._entry(path), f"{path} is half-written"
    assert len(extract([root], ColourEncoder(), out, rate=10.0).video_ids) == 12
    assert not list((out / "videos").glob(".*"))


def test_a_full_disk_ends_in_one_line_and_loses_nothing(library: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract([library / "deep"], ColourEncoder(), out)
    limit = textwrap.dedent(f"""
        import resource, signal
        from pathlib import Path
        from prvr.core.errors import PrvrError
        from prvr.features.extract import extract
        from prvr.video.apart import lent
        from tests.features.make import ColourEncoder
        with lent():  # the memory that a reader shares counts as a file
            pass
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # as if no byte more than 100 would fit
        try:
            extract([Path({str(library)!r})], ColourEncoder(), Path({str(out)!r}), workers=1)
        except PrvrError as error:
            print(error)
    """)
    with Fresh(limit) as limited:
        assert limited.wait() == 0
        assert "cannot write the features of" in limited.said()
        assert "run the same command again: what is finished stays" in limited.said()
    assert [entry.video_id for entry in FeatureStore.open(out).entries()] == ["b.mp4"]
    assert sorted(extract([library], ColourEncoder(), out).made) == ["a.mp4", "deep/b.mp4"]


def test_paths_that_are_not_there_and_folders_without_video(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="nowhere"):
        extract([tmp_path / "nowhere"], ColourEncoder(), tmp_path / "out")
    (tmp_path / "empty").mkdir()
    assert extract([tmp_path / "empty"], ColourEncoder(), tmp_path / "out").video_ids == ()


def test_a_read_only_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FeatureError, match=r"file.out: cannot be written .*; choose another folder"):
        extract([tmp_path], ColourEncoder(), tmp_path / "file" / "out")


def test_progress_tells_how_fast(library: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    extract([library], ColourEncoder(), tmp_path / "out", on_progress=lambda now: seen.append((now.done, now.total)))
    assert seen[-1] == (3, 3)
    assert seen == sorted(seen)


def test_what_an_earlier_prvr_read_otherwise_is_read_again(tmp_path: Path) -> None:
    """Features of before say nothing of how they were made; those that are still right are looked at once."""
    root, out = tmp_path / "videos", tmp_path / "out"
    paint(root / "same.mp4", "red", "green")
    write_video(root / "late.mp4", steps(2, 5), offset_s=5)
    write_video(root / "field.mp4", steps(2, 5), interlaced=True)
    done = extract([root], ColourEncoder(), out)
    for entry in done.entries:
        stored = done.store.path_of(entry.video_id)
        with safe_open(stored, framework="pt") as file:
            known = {key: value for key, value in file.metadata().items() if key not in ("reading", "confirmed")}
            save_file({key: file.get_tensor(key) for key in ("features", "times")}, stored, known)
    again = extract([root], ColourEncoder(), out)
    assert (again.kept, sorted(again.made)) == (("same.mp4",), ["field.mp4", "late.mp4"])
    assert [(one.video_id, one.reading, one.confirmed) for one in again.entries] == [
        ("field.mp4", READING, READING),
        ("late.mp4", READING, READING),
        ("same.mp4", 1, READING),
    ]
    assert again.store.read("late.mp4").times[0] == 5
    assert again.store.read("same.mp4").features.shape == (2, 3)
    assert extract([root], ColourEncoder(), out).made == ()
