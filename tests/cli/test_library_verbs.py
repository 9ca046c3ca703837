"""A library in the first hour, typed as a person types it: what is there, what is gone, another model, a slip."""

from __future__ import annotations

import argparse
import io
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from prvr.cli import build_parser, main
from prvr.cli.screen import Parser, Piped
from prvr.core.types import EncoderSpec
from prvr.features.store import FeatureStore
from prvr.search.folders import note_read, recall
from prvr.search.indexing import build_index
from prvr.search.keeping import read_into
from tests.features.make import ColourEncoder
from tests.features.test_extract import paint
from tests.video.make import cut_short

Run = Callable[..., tuple[int, str, str]]


class Loaded(ColourEncoder):
    """Of a name and weights of its own, and loaded from a folder."""

    def __init__(self, name: str) -> None:
        super().__init__(name, {"colours": "1", "hues": "2"}[name] * 12)

    @property
    def spec(self) -> EncoderSpec:
        return replace(super().spec, source=f"/models/{self.name}")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """One command in its folder -> code, stdout, stderr; it reads colours, under whatever name."""

    def load(name: str, **_: object) -> ColourEncoder:
        return Loaded(Path(name).name)

    for name in ("prvr.demo", "prvr.features.texts", "prvr.search.library"):
        import_module(name)  # or they would keep what stands in for it here, for all tests that come after
    monkeypatch.setattr("prvr.encoders.loading.load_encoder", load)
    monkeypatch.setattr("prvr.search.engine.load_encoder", load)
    monkeypatch.setattr("prvr.search.keeping.load_encoder", load)
    monkeypatch.chdir(tmp_path)

    def go(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(list(words))
        except SystemExit as stop:
            code = int(str(stop.code))
        return code, *capsys.readouterr()

    return go


@pytest.fixture
def shelf(run: Run, tmp_path: Path) -> Path:
    """Three videos in two folders, indexed in `idx` with a tag."""
    paint(tmp_path / "videos" / "sea" / "blue.mp4", "blue", "blue", "green")
    paint(tmp_path / "videos" / "sea" / "both.mp4", "blue", "red")
    paint(tmp_path / "videos" / "fire.mp4", "red", "red", "red", "red")
    build_index([tmp_path / "videos"], tmp_path / "idx", Loaded("colours"), tags=["summer"])
    return tmp_path / "idx"


def listed(run: Run, *words: str) -> dict[str, dict[str, object]]:
    code, out, _ = run("list", "--index", "idx", "--json", *words)
    assert code == 0
    return {row["video_id"]: row for row in json.loads(out)}


def test_the_videos_of_a_library_are_listed_as_search_would_filter_them(run: Run, shelf: Path) -> None:
    rows = listed(run)
    assert {name: (row["duration_s"], row["state"], row["tags"]) for name, row in rows.items()} == {
        "fire.mp4": (4.0, "here", ["summer"]),
        "sea/blue.mp4": (3.0, "here", ["summer"]),
        "sea/both.mp4": (2.0, "here", ["summer"]),
    }
    read = FeatureStore.open(shelf / "features").read_at("fire.mp4")
    assert rows["fire.mp4"]["read_at"] == read
    assert list(listed(run, "path:sea", "longer:3s")) == ["sea/blue.mp4"]
    assert list(listed(run, "--sort", "longest")) == ["fire.mp4", "sea/blue.mp4", "sea/both.mp4"]
    _, out, err = run("list", "--index", "idx")
    head, *lines = out.splitlines()
    assert head.split() == ["length", "read", "video", "folder", "tags"]
    assert [line.split()[3] for line in lines] == ["fire.mp4", "blue.mp4", "both.mp4"]
    assert err == "3 videos\n"
    code, _, err = run("list", "sea", "--index", "idx")
    assert (code, err.count("\n")) == (1, 1)
    assert "sea: is no filter; write one of path:, after:" in err


def test_a_missing_file_is_marked_wherever_it_is_named(run: Run, shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "videos" / "sea" / "blue.mp4").unlink()
    assert listed(run, "--missing").keys() == {"sea/blue.mp4"}
    assert "missing" in run("list", "--index", "idx")[1]
    _, out, err = run("index", "videos", "--index", "idx", "--encoder", "colours", "--json")
    assert json.loads(out)["missing"] == ["sea/blue.mp4"]
    assert "1 video is missing; --prune takes it out" in err
    _, out, _ = run("search", "blue", "--index", "idx", "--json")
    (answer,) = json.loads(out)
    assert {hit["video_id"]: hit["state"] for hit in answer["hits"]} == {
        "sea/blue.mp4": "missing",
        "sea/both.mp4": "here",
        "fire.mp4": "here",
    }
    assert "blue.mp4 (missing)" in run("search", "blue", "--index", "idx")[1]
    _, out, _ = run("info", "blue.mp4", "--index", "idx")
    assert re.search(r"^state +missing$", out, re.MULTILINE)
    assert json.loads(run("info", "idx", "--json")[1])["missing"] == 1
    code, _, err = run("index", "videos", "--index", "idx", "--prune", "--encoder", "colours")
    assert (code, "1 video taken out: its file is gone" in err, "is missing" in err) == (0, True, False)
    assert listed(run).keys() == {"fire.mp4", "sea/both.mp4"}


def test_one_query_and_several_have_one_shape_of_json(run: Run, shelf: Path) -> None:
    one = json.loads(run("search", "red", "--index", "idx", "--json")[1])
    both = json.loads(run("search", "red", "blue", "--index", "idx", "--json")[1])
    assert [row["query"] for row in both] == ["red", "blue"]
    assert one == both[:1]


def test_what_is_known_of_an_index_and_of_a_video(run: Run, shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "videos" / "fire.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nit burns\n")
    (tmp_path / "videos" / "junk.mp4").write_text("no video")
    assert run("index", "videos", "--index", "idx", "--encoder", "colours")[0] == 3
    found = json.loads(run("info", "--index", "idx", "--json")[1])
    assert (found["videos"], found["failures"], found["calibrated"], found["model"]) == (3, 1, False, "zero-shot")
    assert found["width"] == ColourEncoder().spec.width
    (video,) = json.loads(run("info", "fire.mp4", "--index", "idx", "--json")[1])
    assert (video["num_frames"], video["num_cues"], video["subtitles"]) == (4, 1, ["fire.srt"])
    assert video["picture"].startswith("h264, 48 x 32, 5 frames a second")
    _, out, _ = run("info", str(tmp_path / "videos" / "sea"), "--index", "idx")
    assert re.findall(r"^video +(\S+)$", out, re.MULTILINE) == ["sea/blue.mp4", "sea/both.mp4"]
    code, _, err = run("info", "fier.mp4", "--index", "idx")
    assert (code, "fier.mp4: no such video or folder in this library; did you mean fire.mp4?" in err) == (1, True)


def test_videos_are_taken_out_when_the_user_agrees(
    run: Run, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run("remove", "videos/sea", "--index", "idx")
    assert (code, "nobody can be asked here; add --yes" in err) == (1, True)
    for reply, left in (("n\n", 3), ("y\n", 1)):
        typed = io.StringIO(reply)
        monkeypatch.setattr(typed, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", typed)
        code, _, err = run("remove", "videos/sea", "--index", "idx")
        assert "Take 2 videos out of idx? The files stay. [y/N]" in err
        assert len(listed(run)) == left
    assert f"`prvr index {tmp_path / 'videos' / 'sea'} --index idx` takes them in again" in err
    assert (tmp_path / "videos" / "sea" / "blue.mp4").exists()
    assert FeatureStore.open(shelf / "features").entry("sea/blue.mp4") is None
    code, _, err = run("remove", "fire.mp4", "water.mp4", "--index", "idx", "--yes")
    assert (code, "water.mp4: no such video" in err, len(listed(run))) == (1, True, 1), "all of them or none"
    words = ("index", "videos", "--index", "idx", "--encoder", "colours", "--exclude", "sea", "--exclude", "*.part.mp4")
    shutil.copy(tmp_path / "videos" / "fire.mp4", tmp_path / "videos" / "fire.part.mp4")
    assert run(*words)[0] == 0
    assert listed(run).keys() == {"fire.mp4"}
    assert recall(shelf)[tmp_path / "videos"].exclude == ("sea", "*.part.mp4")
    read_into([tmp_path / "videos"], shelf, encoder="colours")
    assert listed(run).keys() == {"fire.mp4"}, "what a server reads again leaves the same out"
    note_read(shelf, [tmp_path / "videos" / "sea"])
    assert run("remove", "videos", "--index", "idx", "--yes")[0] == 0
    assert recall(shelf) == {}, "a folder that was taken out is none of the library's, nor is one in it"


def test_a_tag_can_be_taken_away(run: Run, shelf: Path) -> None:
    _, out, err = run("untag", "summer", "videos/sea", "--index", "idx", "--json")
    assert sorted(json.loads(out)) == ["sea/blue.mp4", "sea/both.mp4"]
    assert err == "'summer' taken from 2 videos\n"
    assert list(listed(run, "tag:summer")) == ["fire.mp4"]
    code, _, err = run("untag", "sumer", "--index", "idx")
    assert (code, "no video has the tag 'sumer'; did you mean 'summer'?" in err) == (1, True)
    _, _, err = run("index", "videos", "--index", "idx", "--encoder", "colours")  # which does not bring it back
    assert "0 videos read now, 3 unchanged" in err
    assert list(listed(run, "tag:summer")) == ["fire.mp4"]


def test_another_model_makes_the_index_anew_and_keeps_what_was_read(run: Run, shelf: Path, tmp_path: Path) -> None:
    code, _, err = run("index", "videos", "--index", "idx", "--encoder", "hues")
    assert code == 1
    assert "add --replace to make this index anew (what was read for the old one is kept)" in err.splitlines()[-1]
    words = ("index", "--replace", "--index", "idx", "--encoder", "hues")
    code, _, err = run(*words)
    assert (code, "add --yes" in err) == (1, True)
    assert "3 videos read again, where that is needed; tags stay" in err
    before = json.loads(run("search", "red", "--index", "idx", "--json")[1])
    code, _, err = run(*words, "--yes")
    assert (code, "3 videos read now" in err) == (0, True), err
    assert "hues" in json.loads(run("info", "--index", "idx", "--json")[1])["encoder"]
    rows = listed(run)
    assert rows.keys() == {"fire.mp4", "sea/blue.mp4", "sea/both.mp4"}
    assert all(row["tags"] == ["summer"] for row in rows.values())
    after = json.loads(run("search", "red", "--index", "idx", "--json")[1])
    assert [hit["video_id"] for hit in after[0]["hits"]] == [hit["video_id"] for hit in before[0]["hits"]]
    (tmp_path / "videos" / "fire.mp4").unlink()  # what was read for the first encoder is all that is left of it
    code, _, err = run("index", "videos", "--index", "idx", "--encoder", "colours", "--replace", "--yes")
    assert (code, "0 videos read now, 2 unchanged" in err, "1 video is missing" in err) == (0, True, True), err
    assert listed(run).keys() == {"fire.mp4", "sea/blue.mp4", "sea/both.mp4"}
    assert {path.name.partition("@")[0] for path in shelf.glob("features*")} == {"features", "features-hues"}
    assert run("index", "videos", "--index", "idx", "--encoder", "colours")[0] == 0, "and goes on as ever"


def test_an_index_answers_until_the_one_in_its_place_is_whole(
    run: Run, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("prvr.search.replacing.make_ready", stop)
        assert run("index", "--replace", "--index", "idx", "--encoder", "hues", "--yes")[0] == 130
    assert "colours" in json.loads(run("info", "--index", "idx", "--json")[1])["encoder"]
    assert len(json.loads(run("search", "red", "--index", "idx", "--json")[1])[0]["hits"]) == 3
    code, _, err = run("index", "--replace", "--index", "idx", "--encoder", "hues", "--yes")
    assert (code, "0 videos read now, 3 unchanged" in err) == (0, True), "what was read then is not read again"


def test_a_known_failure_is_told_once(run: Run, shelf: Path, tmp_path: Path) -> None:
    junk = tmp_path / "videos" / "junk.mp4"
    junk.write_text("no video")
    words = ("index", "videos", "--index", "idx", "--encoder", "colours")
    code, _, err = run(*words)
    assert (code, err.count("skipped")) == (3, 1)
    code, out, err = run(*words, "--json")
    assert (code, err.count("skipped"), json.loads(out)["known"]) == (0, 0, ["videos/junk.mp4"])
    assert "1 file still cannot be read, or not whole, as before: `prvr index --failures --index idx`" in err
    code, _, err = run("index", "--retry", "--index", "idx", "--encoder", "colours")
    assert (code, err.count("skipped"), "\n\n" in err) == (1, 1, False), "who tries again wants to hear it"
    code, _, err = run("index", "--ignore", "videos/jnk.mp4", "--index", "idx")
    assert (code, f"did you mean {junk}?" in err) == (1, True)
    assert run("index", "--ignore", "videos/junk.mp4", "--index", "idx")[0] == 0
    code, _, err = run(*words)
    assert (code, "1 ignored" in err, "as before" in err) == (0, True, False)
    junk.write_text("no video, but another")
    assert run(*words)[0] == 3, "it has changed: that is news"


def test_a_file_that_was_cut_off_says_how_much_of_it_there_is(run: Run, shelf: Path, tmp_path: Path) -> None:
    long = paint(tmp_path / "long.mkv", *["red", "blue"] * 10)
    cut = cut_short(long, tmp_path / "videos" / "cut.mkv", 0.5)
    code, _, err = run("index", "videos", "--index", "idx", "--encoder", "colours")
    line = next(line for line in err.splitlines() if line.startswith("skipped"))
    found = re.search(r"cut\.mkv: is cut off or damaged: read (\d+) of 100 frames \(0:\S+ of 0:20\.0\)", line)
    assert (code, found is not None and 1 < int(found[1]) < 100) == (3, True), line
    assert "cut.mkv" in listed(run), "what could be read can be searched"
    (failure,) = json.loads(run("index", "--failures", "--index", "idx", "--json")[1])
    assert failure["stage"] == "cut"
    assert json.loads(run("info", "cut.mkv", "--index", "idx", "--json")[1])[0]["problem"].startswith(str(cut))
    assert run("index", "videos", "--index", "idx", "--encoder", "colours")[0] == 0, "known by now"
    shutil.copy(long, cut)
    assert run("index", "videos", "--index", "idx", "--encoder", "colours")[0] == 0
    assert listed(run)["cut.mkv"]["duration_s"] == 20.0
    assert json.loads(run("index", "--failures", "--index", "idx", "--json")[1]) == []


def test_a_slip_in_the_place_to_serve_is_seen(run: Run, shelf: Path) -> None:
    from prvr.cli.serve import library_line
    from prvr.service.desk import Desk

    desk = Desk(Path("idxx"))
    desk.open()
    line = library_line(desk, named=True)
    desk.close()
    assert line.startswith("no index in idxx (did you mean idx?): ")
    assert line.endswith("`prvr index PATH --index idxx`")


def test_a_store_says_what_has_to_be_typed(run: Run, shelf: Path) -> None:
    code, _, err = run("extract", "videos", "--out", "idx/features", "--encoder", "hues")
    assert (code, "use `--encoder /models/colours`" in err) == (1, True), "where it was loaded from, not its short name"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["reproduce", "table12", "--data", "."], "did you mean 'table1'?"),
        (["train", "prvr.methods.msc.runs:world", "--data", ".", "--set", "epochs=1"], "did you mean 'train.epochs'?"),
        (["train", "prvr.methods.msc.runs:world", "--data", ".", "--set", "model.hiden=1"], "did you mean 'hidden'?"),
        (["index", "--replace", "--prune", "--index", "idx"], "leave --retry, --prune and --engine out"),
    ],
)
def test_suggestions_are_near(run: Run, words: list[str], says: str) -> None:
    code, _, err = run(*words)
    assert code in (1, 2)
    assert says in err.splitlines()[-1]


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, *(float(second) for second in range(10, 100, 10))])
    show = Piped("Reading", every_s=30, now=lambda: next(clock))
    for done in range(1, 10):
        show(done, 9, "300 x realtime")
    assert capsys.readouterr().err.splitlines() == [f"Reading: {done} of 9  300 x realtime" for done in (3, 6, 9)]


def verbs(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield inner
                yield from verbs(inner)


@pytest.mark.parametrize("verb", [pytest.param(one, id=one.prog) for one in verbs(build_parser())])
def test_every_verb_explains_itself_with_commands_that_work(verb: Parser) -> None:
    assert verb.description
    assert verb.description.endswith(".")
    head, *examples = (verb.epilog or "").splitlines()
    assert head == "examples:"
    for line in examples:
        words = shlex.split(line, comments=True)
        assert " ".join(words).startswith(verb.prog)
        build_parser().parse_args(words[1:])
        assert line in verb.format_help()
    groups = [group for group in verb._action_groups if group._group_actions]
    assert all(len(group._group_actions) <= 12 for group in groups), "a heap of options is not read"


def test_an_index_keeps_its_model_and_says_how_to_have_another(
    run: Run, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("index", "videos", "--index", "idx")
    assert "prvr index --replace" not in run(*words)[2]
    monkeypatch.setattr("prvr.search.choosing.catalogue.default", lambda: "siglip2-b16")
    assert "to make it anew with your default: `prvr index --replace --encoder siglip2-b16`" in run(*words)[2]
    code, _, err = run("index", "vidoes", "--index", "idx")
    assert (code, err) == (1, "prvr index: vidoes: no such file; check the path\n"), "no model is loaded for it"
