"""Names that are no UTF-8, subtitles inside and beside videos, and what machines litter, through the whole house."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from prvr.cli import main
from prvr.core.facts import Cue
from prvr.core.text import path_of
from prvr.core.types import Encoder
from prvr.encoders.world import load_world_encoder
from prvr.features.store import FeatureStore
from prvr.index.opening import open_index
from prvr.search.engine import SearchEngine
from prvr.search.indexing import build_index
from prvr.search.places import locate
from prvr.search.replacing import look_at
from tests.serve.conftest import asking, config_of, of
from tests.subtitles.make import write_spoken

SRT = "1\n00:00:01,000 --> 00:00:02,000\n{}\n"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_world_encoder()


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder whose name, and one film's, are in Latin-1; that film has a track inside, the other a file beside it."""
    folder = tmp_path / "films" / "\udce9t\udce9"
    folder.mkdir(parents=True)
    write_spoken(folder / "caf\udce9.mkv", ("subrip", [(500, 1500, "the walrus sings")]), languages=["eng"])
    write_spoken(folder / "good.mp4")
    (folder / "good.srt").write_text(SRT.format("the otter sleeps"))
    return tmp_path / "films"


def said(index: Path, text: str) -> list[tuple[str, tuple[Cue, ...]]]:
    with open_index(index) as opened:
        return [(hit.video_id, hit.cues) for hit in opened.words(text, k=3)]


def test_names_that_are_no_utf8(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = tmp_path / "index"
    into = ["--index", str(index), "--encoder", "world"]
    assert main(["index", str(films), *into]) == 0
    odd = r"\xe9t\xe9/caf\xe9.mkv"
    assert said(index, "walrus") == [(odd, (Cue(0.5, 1.5, "the walrus sings"),))]
    assert main(["index", str(films), *into]) == 0
    assert "0 videos read now, 2 unchanged; 2 searchable" in capsys.readouterr().err
    assert main(["search", "a circle path:caf", "--index", str(index), "--all"]) == 0
    assert r"caf\xe9.mkv" in capsys.readouterr().out
    assert main(["search", "a circle path:caf", "--index", str(index), "--json"]) == 0
    ((hit,),) = (answer["hits"] for answer in json.loads(capsys.readouterr().out))
    assert hit["video_id"] == odd
    assert path_of(hit["path"]).read_bytes()
    for name in ("a.csv", "a.json", "a.edl", "a.vtt", "a.mp4"):
        assert main(["search", "circle path:caf", "--index", str(index), "--export", str(tmp_path / name)]) == 0
    assert main(["search", "--like", f"{odd}@0-2", "--index", str(index)]) == 0
    (films / "new").mkdir()
    shutil.move(films / "\udce9t\udce9" / "caf\udce9.mkv", films / "new" / "th\udce9.mkv")
    assert main(["index", str(films), *into, "--prune"]) == 0
    with open_index(index) as opened:
        assert locate(index, opened.facts(odd).path) == films / "new" / "th\udce9.mkv"
    good = r"\xe9t\xe9/good.mp4"
    assert look_at(index).files[films / "\udce9t\udce9" / "good.mp4"] == films
    assert look_at(index).facts.keys() >= {good}, "an index that replaces this one has it under the same id"
    (films / "new" / "th\udce9.mkv").write_bytes(b"junk")
    capsys.readouterr()
    assert main(["index", str(films), *into]) == 3
    assert r"th\xe9.mkv: is not a video" in capsys.readouterr().err
    assert main(["index", "--failures", "--index", str(index)]) == 0
    assert r"th\xe9.mkv" in capsys.readouterr().out


def test_names_that_are_no_utf8_over_http(films: Path, tmp_path: Path, encoder: Encoder) -> None:
    index = tmp_path / "index"
    build_index([films], index, encoder)
    odd = r"\xe9t\xe9/caf\xe9.mkv"
    with asking(config_of(index)) as http:
        listed = {one["id"]: one for one in http.get("/v1/videos?limit=100").json()["data"]}
        assert listed.keys() == {odd, r"\xe9t\xe9/good.mp4"}
        assert listed[odd]["subtitles_url"] == of(odd, "/subtitles")
        text = http.get(of(odd, "/subtitles")).text
        assert text == "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nthe walrus sings\n"
        assert http.get(of(odd, "/thumb?t=1")).content.startswith(b"\xff\xd8")
        assert http.get(of(odd, "/stream")).json()["error"]["code"] == "needs_proxy"
        played = http.get(of(r"\xe9t\xe9/good.mp4", "/stream"))
        assert played.content == (films / "\udce9t\udce9" / "good.mp4").read_bytes()
        (hit,) = http.post("/v1/search", json={"query_text": "walrus path:caf"}).json()["data"]
        assert (hit["video_id"], hit["name"], hit["quote"]) == (odd, r"caf\xe9.mkv", "the walrus sings")


def test_an_unchanged_folder_is_looked_at_once_and_no_subtitle_is_read(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    films, index = tmp_path / "films", tmp_path / "index"
    films.mkdir()
    write_spoken(films / "0.mp4")
    for number in range(1, 6):
        shutil.copy(films / "0.mp4", films / f"{number}.mp4")
    for number in range(6):
        (films / f"{number}.en.srt").write_text(SRT.format(f"number {number}"))
    os.utime(films, (1, 1))
    build_index([films], index, encoder)
    looks: Counter[str] = Counter()
    listing = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looks.update([str(path)]) or listing(path))
    monkeypatch.setattr("prvr.search.spoken.read_file", lambda *_: pytest.fail("a file that did not change was read"))
    again = build_index([films], index, encoder)
    assert again.added == ()
    assert looks[str(films)] == 2, "once for the videos, once for what lies beside them"
    with asking(config_of(index)) as http:
        before = looks[str(films)]
        listed = http.get("/v1/videos?limit=100").json()["data"]
        assert all(one["subtitles_url"] for one in listed)
        assert looks[str(films)] == before + 1
        http.get("/v1/videos?limit=100")
        assert looks[str(films)] == before + 1


def test_subtitles_that_change_are_read_again_and_what_cannot_be_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, index = tmp_path / "films", tmp_path / "index"
    films.mkdir()
    into = ["--index", str(index), "--encoder", "world"]
    write_spoken(films / "a.mkv", ("subrip", [(500, 1500, "inside it is a walrus")]))
    (films / "a.srt").write_text(SRT.format("an otter"))
    assert main(["index", str(films), *into]) == 0
    assert said(index, "otter") == [("a.mkv", (Cue(1.0, 2.0, "an otter"),))]
    assert "note" not in capsys.readouterr().err
    (films / "a.srt").write_text("1\n00:00:09 --> 00:00:08\nlost\n\n2\n00:00:02,0 --> 00:00:03,0\na heron\n")
    assert main(["index", str(films), *into]) == 0
    assert capsys.readouterr().err.count("note     ") == 1
    assert said(index, "otter") == []
    assert said(index, "heron") == [("a.mkv", (Cue(2.0, 3.0, "a heron"),))]
    assert said(index, "walrus") == [("a.mkv", (Cue(0.5, 1.5, "inside it is a walrus"),))]


def test_what_is_odd_about_a_file_is_told_over_http_as_by_info(
    tmp_path: Path, encoder: Encoder, capsys: pytest.CaptureFixture[str]
) -> None:
    films, index = tmp_path / "films", tmp_path / "index"
    (films / "Subs").mkdir(parents=True)
    write_spoken(films / "a.mkv", late_s=5)
    (films / "a.srt").write_text("1\n00:00:09 --> 00:00:08\nlost\n")
    (films / "Subs" / "a.en.srt").write_bytes(bytes(range(256)))
    build_index([films], index, encoder)
    with asking(config_of(index)) as http:
        told = http.get(of("a.mkv")).json()["notes"]
        assert http.get("/v1/videos").json()["data"][0]["notes"] == [], "no file is opened for a list"
    assert [note[:25] for note in told] == [
        "a.srt: line 2 ends before",
        "Subs/a.en.srt: is no text",
        "time: the first picture i",
    ]
    assert main(["info", "a.mkv", "--index", str(index), "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)
    assert [note.removeprefix(f"{films}/") for note in said["notes"]] == told


def test_tracks_of_videos_that_were_read_before_there_were_tracks(tmp_path: Path, encoder: Encoder) -> None:
    films, index = tmp_path / "films", tmp_path / "index"
    films.mkdir()
    write_spoken(films / "a.mkv", ("ass", [(500, 1500, "a walrus")]))
    build_index([films], index, encoder)
    store = FeatureStore.open(index / "features")
    entry = store.entry("a.mkv")
    assert entry is not None
    assert entry.num_cues == 1
    stamp = {"source": entry.file, "size": entry.size, "mtime_ns": entry.mtime_ns, "reading": entry.reading}
    old = store.write("a.mkv", store.read("a.mkv"), **stamp)  # type: ignore[arg-type]
    assert (old.num_cues, store.tracks("a.mkv")) == (-1, [])
    again = build_index([films], index, encoder)
    assert again.extraction.made == ()
    assert store.entry("a.mkv") == entry
    assert said(index, "walrus") == [("a.mkv", (Cue(0.5, 1.5, "a walrus"),))]


def test_what_lies_in_a_bin_is_taken_out(tmp_path: Path, encoder: Encoder) -> None:
    films, index = tmp_path / "films", tmp_path / "index"
    (films / "#recycle").mkdir(parents=True)
    write_spoken(films / "a.mp4")
    write_spoken(films / "#recycle" / "b.mp4")
    build_index([films, films / "#recycle"], index, encoder)  # who names it means it
    with open_index(index) as opened:
        assert sorted(opened.versions) == ["a.mp4", "b.mp4"]
    assert build_index([films], index, encoder).removed == ()
    assert build_index([films], index, encoder, prune=True).removed == ("b.mp4",)
    engine = SearchEngine.open(index)
    assert [hit.video_id for hit in engine.search("a circle")] == ["a.mp4"]


HOSTILE = "a\x1b[31m\x9b2J\u202eb\rc\nd"
STEERING = {"\x1b", "\x9b", "\r", "\u202e", "\x07"}


def test_names_that_steer_a_terminal_are_written_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the command; JSON is the same text as before, with those letters as escapes."""
    films, here = tmp_path / "films", ["--index", str(tmp_path / "index")]
    films.mkdir()
    write_spoken(films / f"{HOSTILE}.mp4")
    (films / f"broken{HOSTILE}.mp4").write_bytes(b"junk")
    name = r"a\x1b[31m\x9b2J\u202eb\rc\nd.mp4"
    for words, code in (
        (["index", str(films), "--encoder", "world", "--tag", f"t{HOSTILE}"], 3),
        (["search", f"a circle{HOSTILE}", "--all"], 0),
        (["search", "a circle", "--all", "--json"], 0),
        (["list"], 0),
        (["list", "--json"], 0),
        (["info", f"{HOSTILE}.mp4"], 0),
        (["index", "--failures"], 0),
        (["index", "--verify"], 0),
        (["remove", f"{HOSTILE}.mp4", "--yes"], 0),
    ):
        assert main([*words, *here]) == code, words
        said = capsys.readouterr()
        assert not STEERING & set(said.out + said.err), words
        if "--json" in words:
            found = json.loads(said.out)
            (one,) = found if words[0] == "list" else found[0]["hits"]
            assert one["video_id"] == f"{HOSTILE}.mp4"
        elif words[0] in ("search", "list"):
            assert name in said.out


def test_a_home_that_nobody_has_is_a_path_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "~nobody-of-this-name/x", "--index", str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
