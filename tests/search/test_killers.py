"""A file that kills its reader is set aside, by itself, in the run that met it; everything else is searchable."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from prvr.cli import main
from prvr.features import decoding, reading
from prvr.features.failures import Failures
from prvr.index.opening import open_index
from prvr.service.unread import ELSEWHERE, unread
from tests.features import killers
from tests.features.test_extract import paint

SOUND = 200
ENDED = {
    "kill": "signal 9, SIGKILL",
    "crash": "signal 11, SIGSEGV",
    "memory": "more than 2 GB of memory",
    "loop": "took 0.5 s of processor time",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sound files with killers among them."""
    monkeypatch.setattr(decoding, "READ", killers.read)
    monkeypatch.setenv("PRVR_READER_S", "0.5")
    monkeypatch.setenv("PRVR_READER_GB", "2")
    folder = tmp_path / "videos"
    first = paint(folder / "000.mp4", "red", rate=2)
    for i in range(1, SOUND - 1):
        os.link(first, folder / f"{i:03}.mp4")
    for i, name in enumerate((*ENDED, "error", "once")):
        shutil.copy(first, folder / f"{20 * i:03}-{name}.mp4")
    return folder


def told(index: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    """Name -> stage and reason, as the command line says them."""
    capsys.readouterr()
    assert main(["index", "--failures", "--json", "--index", str(index)]) == 0
    found = json.loads(capsys.readouterr().out)
    return {killers.kind(Path(one["path"])): (one["stage"], one["reason"]) for one in found}


def test_killers_are_set_aside_in_one_run(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    read = ["index", str(folder), "--index", str(index), "--encoder", "world"]
    assert main(read) == 3
    found = told(index, capsys)
    assert found.keys() == {*ENDED, "error"}
    for name, why in ENDED.items():
        assert found[name][0] == "killed"
        assert why in found[name][1]
        assert "left alone until it changes" in found[name][1]
    assert {one.stage: one.reason for one in unread(index, hidden=True)} == {
        "killed": ELSEWHERE["killed"],
        "decode": ELSEWHERE["decode"],
    }, "the page and the API know them"
    assert found["error"] == ("decode", "cannot be read (RuntimeError: nobody foresaw this)")
    with open_index(index) as made:
        assert len(made) == SOUND, "the one that died once, of something else, is no killer"
    assert not (index / "features" / "reading").exists()

    tried = {one.path: one.time for one in Failures(index / "features")}
    os.utime(next(folder.glob("*memory*")))
    assert main(read) == 3, "what changed is tried again"
    again = {killers.kind(Path(one.path)) for one in Failures(index / "features") if one.time != tried[one.path]}
    assert again == {"error", "memory"}, "the others are left alone"

    monkeypatch.setattr(decoding, "READ", reading.read)  # by a better prvr
    assert main(["index", str(next(folder.glob("*loop*"))), *read[2:]]) == 0, "it is named"
    assert main(["index", "--retry", *read[2:]]) == 0
    assert told(index, capsys) == {}
    with open_index(index) as made:
        assert len(made) == SOUND + len(ENDED) + 1
