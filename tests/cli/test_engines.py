"""An index in a server, by the command line: what goes together, copies, and a node that is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from prvr.cli import main
from prvr.index.opening import ENGINE, ENGINES, NAMED, exists, open_index
from tests.index.wire import Qdrant, qdrant

URL = "qdrant://127.0.0.1:1/videos"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Qdrant]:
    with qdrant(tmp_path / "qdrant", nodes=2) as running:
        yield running


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--copy-to", URL, "--copy-from", URL], "--engine, --copy-to and --copy-from: one of them at a time"),
        (["--copy-to", URL, "videos"], "--copy-to copies an index as it is: leave PATH, --replace and --retry out"),
        (["--copy-to", "http://127.0.0.1/x"], "is no server; write qdrant://HOST:6333/COLLECTION"),
        (["videos", "--engine", "host"], "is no server; write qdrant://HOST:6333/COLLECTION"),
        (["--copy-from", URL, "--shards", "3"], "--payload-index: add --engine URL or --copy-to URL"),
        (["--copy-to", URL, "--quantise", "int4"], "no 'int4'; did you mean 'int8'?"),
    ],
)
def test_what_does_not_go_together_is_told(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["index", *words])
    assert left.value.code == 2
    assert says in capsys.readouterr().err


def test_values_that_cannot_be_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, says in (
        (["--shards", "0"], "--shards 0: must be 1 or more"),
        (["--payload-index", "tags,colour"], "--payload-index colour: must be one of tags, words"),
        (["--workers", "0"], "--workers 0: must be greater than 0"),
        ([], f"{tmp_path}: no index here"),
    ):
        assert main(["index", "--index", str(tmp_path), "--copy-to", URL, *words]) == 1
        assert says in capsys.readouterr().err


def test_there_and_back_and_a_node_that_is_away(
    own: Path, server: Qdrant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place, ask = server.url(), ["search", "a red circle", "--json", "-k", "3"]
    monkeypatch.setenv("PRVR_DATA", str(tmp_path / "data"))
    assert main([*ask, "--index", str(own)]) == 0
    before = json.loads(capsys.readouterr().out)
    assert main(["index", "--index", str(own), "--copy-to", place, "--json", "--replicas", "2"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["copied"], said["videos"], said["differences"]) == (36, 36, [])
    assert place in (tmp_path / "data" / ENGINES).read_text()
    (own / ENGINE).write_text(place)
    server.away = {0}
    assert main([*ask, "--index", str(own)]) == 0
    told = capsys.readouterr()
    assert "2 of 4 copies of its parts are on nodes that do not answer" in told.err
    after = json.loads(told.out)
    assert [hit["video_id"] for hit in after[0]["hits"]] == [hit["video_id"] for hit in before[0]["hits"]]
    server.away = {0, 1}
    assert main([*ask, "--index", str(own)]) == 1
    assert "see that it runs, that this is its address, and run the command again" in capsys.readouterr().err
    server.come_back(0)
    server.come_back(1)
    assert main(["index", "--verify", "--index", str(own)]) == 1
    assert f"which looks after its own files; to have them here and read them: `prvr index --copy-from {place}" in (
        capsys.readouterr().err
    )
    assert main(["index", "--index", str(own), "--copy-from", place]) == 0
    assert f"{own} answers from its own vectors now" in capsys.readouterr().err
    assert not (own / ENGINE).exists()
    assert main(["index", "--verify", "--index", str(own)]) == 0


def test_several_nodes_are_named_as_one_server(
    server: Qdrant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / ENGINE).write_text(server.url())
    assert exists(folder)
    monkeypatch.setenv(NAMED, f"qdrants://elsewhere/x, {server.url()}")
    assert main(["list", "--index", str(folder)]) == 1
    assert "no index here; make one with `prvr index PATH --engine" in capsys.readouterr().err, "it was asked"
    monkeypatch.setenv(NAMED, server.url().partition(",")[0] + "/videos")
    with pytest.raises(Exception, match="which you have not named"):
        open_index(folder)
