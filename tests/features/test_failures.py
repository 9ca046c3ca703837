"""What could not be read is known afterwards, whatever happened, until it is read, ignored or gone."""

from __future__ import annotations

import json
import shutil
import textwrap
from pathlib import Path

import pytest

from prvr.core.errors import VideoError
from prvr.features.extract import extract
from prvr.features.failures import FILE, Failures
from prvr.features.store import FeatureStore
from tests.features.make import ColourEncoder
from tests.features.test_extract import paint
from tests.fresh import Fresh
from tests.serve.conftest import until
from tests.video.make import cut_short, spoil_packets

STAGES = {"black.mp4": "decode", "junk.mp4": "open", "lost.mp4": "find"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One good video, and one for each stage at which reading can fail."""
    root = tmp_path / "videos"
    paint(root / "deep" / "a.mp4", "red", "green")
    (root / "junk.mp4").write_text("this is no video")
    paint(root / "black.mp4", "red")
    spoil_packets(root / "black.mp4", 0, 100)  # it opens, but shows nothing
    (root / "lost.mp4").symlink_to("nowhere")
    return root


def kept(out: Path) -> dict[str, str]:
    """Name -> stage of all failures."""
    return {Path(one.path).name: one.stage for one in Failures(out)}


def test_a_failure_is_kept_until_the_file_is_read(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract([root], ColourEncoder(), out)
    assert kept(out) == STAGES
    assert [json.loads(line)["path"] for line in (out / FILE).read_text().splitlines()] == [
        str(root / name) for name in STAGES
    ]
    _, junk, lost = Failures(out)
    assert junk.reason.startswith("is not a video that FFmpeg can read")
    assert lost.reason.startswith("the link leads nowhere")
    assert junk.size == 16
    paint(root / "junk.mp4", "blue")
    paint(root / "black.mp4", "green")
    (root / "lost.mp4").unlink()
    (root / "lost.mp4").symlink_to(root / "deep" / "a.mp4")
    assert extract([root], ColourEncoder(), out).failed == {}
    assert kept(out) == {}


def test_what_is_ignored_is_left_alone_until_it_changes_or_is_named(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract([root], ColourEncoder(), out)
    known = Failures(out)
    assert all(known.ignore(one.id) for one in list(known))
    assert not known.ignore("0" * 16)
    known.save()
    quiet = extract([root], ColourEncoder(), out)
    assert (quiet.failed, quiet.ignored, quiet.video_ids) == ({}, 3, ("deep/a.mp4",))
    assert all(one.ignored for one in Failures(out))
    assert list(extract([root / "junk.mp4"], ColourEncoder(), out).failed) == [str(root / "junk.mp4")]  # named
    (_, junk, _) = known = Failures(out)
    assert not junk.ignored
    known.ignore(junk.id)
    known.save()
    (root / "junk.mp4").write_text("this is no video either")
    assert list(extract([root], ColourEncoder(), out).failed) == [str(root / "junk.mp4")]  # changed
    again = extract([], ColourEncoder(), out, retry=())
    assert sorted(again.failed) == [str(root / name) for name in STAGES]


def test_what_fails_again_in_the_same_way_is_nothing_new(root: Path, tmp_path: Path) -> None:
    """However it was looked for: below its folder, or by name because it was to be tried again."""
    out = tmp_path / "out"
    (root / "empty.mp4").touch()
    first = extract([root], ColourEncoder(), out)
    assert not first.known
    again = extract([], ColourEncoder(), out, retry=())
    assert again.failed == first.failed
    assert extract([root], ColourEncoder(), out).known == first.failed.keys()


def test_one_is_tried_again_under_the_id_it_would_have_had(root: Path, tmp_path: Path) -> None:
    out, bad = tmp_path / "out", root / "deep" / "bad.mp4"
    bad.write_bytes(b"")
    extract([root], ColourEncoder(), out)
    paint(bad, "green")
    (chosen,) = (one for one in Failures(out) if one.path == str(bad))
    assert extract([], ColourEncoder(), out, retry=[chosen.id]).made == ("deep/bad.mp4",)
    assert kept(out) == STAGES
    (root / "junk.mp4").write_bytes(b"")  # an empty file ends a run that names it, but not one that tries it again
    with pytest.raises(VideoError, match="is empty"):
        extract([root / "junk.mp4"], ColourEncoder(), out)
    assert sorted(extract([], ColourEncoder(), out, retry=()).failed) == [str(root / name) for name in STAGES]
    for name in STAGES:
        (root / name).unlink()
    assert extract([], ColourEncoder(), out, retry=()).failed == {}
    assert kept(out) == {}


def test_a_killed_run_forgets_no_failure(root: Path, tmp_path: Path) -> None:
    """Kill -9 after the failures and before the end; a line that is cut off costs nothing but itself."""
    out = tmp_path / "out"
    for i in range(40):
        shutil.copy(root / "deep" / "a.mp4", root / "deep" / f"{i}.mp4")
    code = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from prvr.features.extract import extract
        from tests.features.make import ColourEncoder
        stay = lambda progress: time.sleep(60) if progress.done > 1 else None
        extract([Path({str(root)!r})], ColourEncoder(), Path({str(out)!r}), workers=1, on_progress=stay)
    """)
    with Fresh(code):
        until(lambda: (out / FILE).exists() and "lost.mp4" in (out / FILE).read_text())
    assert "lost.mp4" in kept(out)
    with (out / FILE).open("a") as file:
        file.write('[1]\n{"path": "/no/failure"}\n{"path": "/cut o')
    extract([root], ColourEncoder(), out)
    assert kept(out) == STAGES
    assert len(FeatureStore.open(out).entries()) == 41


def test_what_is_cut_off_is_searched_as_far_as_it_goes_and_can_be_ignored(tmp_path: Path) -> None:
    root, out = tmp_path / "videos", tmp_path / "out"
    whole = paint(tmp_path / "whole.mkv", *["red", "green"] * 8)
    root.mkdir()
    cut = cut_short(whole, root / "cut.mkv", 0.6)
    first = extract([root], ColourEncoder(), out)
    assert (first.video_ids, list(first.failed), first.known) == (("cut.mkv",), [str(cut)], frozenset())
    (failure,) = known = Failures(out)
    assert (failure.stage, failure.reason.startswith("is cut off or damaged: read ")) == ("cut", True)
    again = extract([root], ColourEncoder(), out)
    assert (again.made, again.kept, sorted(again.known)) == ((), ("cut.mkv",), [str(cut)])
    known.ignore(failure.id)
    known.save()
    quiet = extract([root], ColourEncoder(), out)
    assert (quiet.kept, quiet.failed, quiet.ignored) == (("cut.mkv",), {}, 1)
    other = ColourEncoder("other", "2" * 12)  # for which it has to be read again, and is still left alone
    (tmp_path / "other").mkdir()
    shutil.copy(out / FILE, tmp_path / "other" / FILE)
    quiet = extract([root], other, tmp_path / "other")
    assert (quiet.made, quiet.failed, quiet.ignored) == (("cut.mkv",), {}, 1)
    shutil.copy(whole, cut)
    assert extract([root], ColourEncoder(), out).failed == {}
    assert kept(out) == {}


def test_a_path_that_leads_nowhere_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file"):
        extract([tmp_path / "typo"], ColourEncoder(), tmp_path / "typo" / "out")
    assert not (tmp_path / "typo").exists()


def test_what_kills_the_whole_run_is_found_and_set_aside(tmp_path: Path) -> None:
    """An encoder that dies of one picture: with others the file is suspected, alone it is known."""
    root, out = tmp_path / "videos", tmp_path / "out"
    for name in ("a", "c", "d"):
        paint(root / f"{name}.mp4", "red")
    paint(root / "b.mp4", "blue")
    code = textwrap.dedent(f"""
        import os, signal, time
        from pathlib import Path
        from prvr.features.extract import extract
        from tests.features.make import ColourEncoder

        class Dies(ColourEncoder):
            def encode_images(self, images):
                made = super().encode_images(images)
                if made[0, 2] > 0.5:
                    os.kill(os.getpid(), signal.SIGKILL)
                return made

        print(len(extract([Path({str(root)!r})], Dies(), Path({str(out)!r}), workers=2).made))
    """)
    for ends in (-9, -9, 0, 0):
        with Fresh(code) as run:
            assert run.wait() == ends, run.said()
    (found,) = Failures(out)
    assert (Path(found.path).name, found.stage) == ("b.mp4", "killed")
    assert "was the only file being read when a whole run ended" in found.reason
    assert [entry.video_id for entry in FeatureStore.open(out).entries()] == ["a.mp4", "c.mp4", "d.mp4"]
    assert extract([], ColourEncoder(), out, retry=()).made == ("b.mp4",)
    assert kept(out) == {}
