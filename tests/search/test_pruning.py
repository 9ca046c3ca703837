"""A folder that is not there is not a folder that was emptied, and what is taken out can be had back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prvr.cli import main
from prvr.features.store import FeatureStore
from prvr.index.opening import open_index
from prvr.search.indexing import repair
from tests.features.test_extract import paint


def ids(index: Path) -> set[str]:
    with open_index(index) as opened:
        return set(opened.versions)


def kept(index: Path) -> set[str]:
    return {entry.video_id for entry in FeatureStore.open(index / "features").entries()}


def test_a_drive_that_is_not_mounted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films, index = tmp_path / "films", tmp_path / "index"
    for name in "abc":
        paint(films / f"{name}.mp4", "red", rate=2)
    run = ["index", str(films), "--index", str(index), "--encoder", "world"]
    everything = {"a.mp4", "b.mp4", "c.mp4"}
    assert main([*run, "--tag", "family"]) == 0
    films.rename(tmp_path / "away")
    films.mkdir()
    capsys.readouterr()
    assert main([*run, "--prune"]) != 0
    told = capsys.readouterr().err
    assert f"3 of 3 videos below {films} are gone: nothing was taken out; is it mounted?" in told
    assert f"`prvr index --prune --yes PATH --index {index}` takes them out" in told
    assert ids(index) == kept(index) == everything

    assert main([*run, "--prune", "--yes"]) == 1  # nothing is left to be read there
    assert "reads nothing anew" in capsys.readouterr().err
    assert ids(index) == set()
    assert kept(index) == everything, "until the next time"
    repair(index)
    assert ids(index) == set(), "a repair brings nothing back that was taken out"
    films.rmdir()
    (tmp_path / "away").rename(films)
    assert main([*run, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["made"], sorted(done["kept"])) == ([], sorted(everything))
    with open_index(index) as opened:
        assert {facts.tags for facts in opened.all_facts().values()} == {("family",)}

    (films / "a.mp4").unlink()
    assert main([*run, "--prune"]) == 0, "one of three is a file that was deleted"
    assert ids(index) == {"b.mp4", "c.mp4"}
    assert kept(index) == everything
    paint(films / "d.mp4", "red", rate=2)
    (films / "b.mp4").unlink()
    assert main([*run, "--prune"]) == 0
    assert ids(index) == {"c.mp4", "d.mp4"}
    assert kept(index) == {"b.mp4", "c.mp4", "d.mp4"}, "what was taken out before goes now"

    share = films / "share"
    paint(share / "e.mp4", "red", rate=2)
    assert main(run) == 0
    share.rename(tmp_path / "elsewhere")
    share.mkdir()
    capsys.readouterr()
    assert main([*run, "--prune"]) == 3
    assert f"1 of 1 video below {share} are gone: nothing was taken out; is it mounted?" in capsys.readouterr().err
    assert ids(index) == {"c.mp4", "d.mp4", "share/e.mp4"}


def test_the_index_of_a_user_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRVR_DATA", str(tmp_path / "data"))
    paint(tmp_path / "films" / "a.mp4", "red", rate=2)
    assert main(["index", str(tmp_path / "films"), "--encoder", "world"]) == 0
    assert (tmp_path / "data" / "index").stat().st_mode & 0o777 == 0o700
