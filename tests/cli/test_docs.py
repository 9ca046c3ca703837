"""The examples in the documentation do what they say."""

from __future__ import annotations

import csv
import importlib
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prvr.cli import build_parser, main
from prvr.data.annotations import read_queries
from tests.encoders import make_models
from tests.encoders.hub import ask, local_hub

ROOT = Path(__file__).parents[2]
siglip_folder = make_models.siglip_folder
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "examples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OUTSIDE = {"https://arxiv.org/abs/2510.27432", "https://www.contributor-covenant.org"}  # may be linked to


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def test_every_command_in_the_docs_can_be_parsed() -> None:
    lines = [line for page in PAGES for block in blocks(page, "console") for line in block.splitlines()]
    commands = [found[1] for line in lines if (found := re.match(r"\$ (?:[A-Z_]+=\S+ )?(prvr .*)", line))]
    assert len(commands) > 100
    parser = build_parser()
    for command in commands:
        words = shlex.split(command, comments=True)[1:]
        assert parser.parse_args(words).command in {*words[:1]}, command


def test_the_services_of_a_cluster_are_what_compose_and_prvr_read() -> None:
    """Not started: the commands of prvr in it can be parsed, and what services name is there."""
    yaml = pytest.importorskip("yaml")
    page = ROOT / "docs" / "scale.md"
    (block,) = blocks(page, "yaml")
    made = yaml.safe_load(block)
    services = made["services"]
    assert len([name for name in services if name.startswith("node")]) == 3
    commands = [one["command"] for one in services.values() if one.get("command", "").startswith("prvr ")]
    runs = [line for block in blocks(page, "sh") for line in block.replace("\\\n", "").splitlines()]
    commands += [line[line.index("prvr index") :] for line in runs]
    assert len(commands) == 3
    for command in commands:
        build_parser().parse_args(shlex.split(command)[1:])
    for service in services.values():
        assert set(service["networks"]) <= set(made["networks"])
        named = [one.partition(":")[0] for one in service.get("volumes", []) if not one.startswith("$")]
        assert set(named) <= set(made["volumes"])
        assert {one["source"] for one in service.get("configs", [])} <= set(made["configs"])


def test_every_link_in_the_docs_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert "://" not in target or target in OUTSIDE, f"{page}: {target} leaves the project"
            assert target in OUTSIDE or (page.parent / target).exists(), f"{page}: {target}"


@pytest.fixture
def my_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files of docs/extending.md as a package of somebody else's, and what the page runs with them."""
    there = blocks(ROOT / "docs" / "extending.md", "python")
    files = {found[1]: block for block in there if (found := re.match(r"# (my_lab/\w+\.py)\n", block))}
    assert len(files) == 7
    (tmp_path / "lab" / "my_lab").mkdir(parents=True)
    for name, block in files.items():
        (tmp_path / "lab" / name).write_text(block)
    monkeypatch.syspath_prepend(tmp_path / "lab")
    yield [block for block in there if block not in files.values()]
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_lab"]:
        del sys.modules[name]


FAST = ["--set", "model.hidden=16", "--set", "batch_videos=8", "--set", "train.epochs=1"]


def test_a_new_loss_and_a_new_system_train_and_compare(
    my_lab: list[str], mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a package of somebody else's has trained is opened when that package is trusted, and not before."""
    for recipe, term in (("my_lab.agree:world", "agree"), ("my_lab.runs:world", "triplet_frame")):
        run = tmp_path / term
        assert main(["train", recipe, "--data", str(mine), "--out", str(run), *FAST]) == 0
        assert f'"{term}"' in (run / "metrics.jsonl").read_text()
    both = ["compare", "--data", str(mine), "--systems", "my_lab.runs:world,msc", "--out", str(tmp_path / "compared")]
    assert main([*both, "--set", "model.hidden=16", "--budget", "1"]) == 0
    table = (tmp_path / "compared" / "compare-own.md").read_text()
    assert "Lines" in table
    assert "MSC" in table
    words = ["index", str(mine / "videos"), "--index", str(tmp_path / "index"), "--model", str(tmp_path / term)]
    capsys.readouterr()
    assert main(words) == 1
    assert "--trust my_lab" in capsys.readouterr().err
    assert not (tmp_path / "index").exists()
    trusted = ["--trust", "my_lab"]
    assert main([*words, *trusted]) == 0
    assert main(["search", "a red ball", "--index", str(tmp_path / "index"), *trusted]) == 0
    assert main(["evaluate", str(tmp_path / term), "--data", str(mine), *trusted]) == 0


def test_a_new_encoder_and_a_new_index_find_what_they_should(
    my_lab: list[str], mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "groupvit-gcc-yfcc").mkdir()
    make_models.make_groupvit(tmp_path / "groupvit-gcc-yfcc")
    capsys.readouterr()  # what the library says of it
    for code in my_lab:
        exec(compile(code.replace("~/Videos", str(mine / "videos")), "extending.md", "exec"), {})
    *hits, share = capsys.readouterr().out.splitlines()
    assert len(hits) == 3 + 3  # of the encoder, and of the family
    found = re.fullmatch(r"the best video is found for (\d+) of 100 queries", share)
    assert found
    assert int(found[1]) >= 80


def test_a_new_benchmark_trains(my_lab: list[str], mine: Path, tmp_path: Path) -> None:
    """The world's own sentences, as somebody else might have written them down."""
    diary = importlib.import_module("my_lab.diary")
    rows = [
        {
            "split": split,
            "video": one.video_id,
            "sentence": one.text,
            "start": one.windows[0][0],
            "end": one.windows[0][1],
        }
        for split in ("train", "val")
        for one in read_queries(mine / "annotations" / f"{split}.jsonl")
    ]
    with (tmp_path / "diary.csv").open("w", newline="", encoding="utf-8") as opened:
        table = csv.DictWriter(opened, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    diary.convert(tmp_path / "diary.csv", tmp_path / "diary")
    shutil.copytree(mine / "features", tmp_path / "diary" / "features")
    assert main(["data", "check", str(tmp_path / "diary")]) == 0
    run = ["train", "my_lab.diary:msc_diary", "--data", str(tmp_path / "diary"), "--out", str(tmp_path / "run")]
    assert main([*run, *FAST]) == 0


@pytest.mark.parametrize("page", ["README.md", "docs/tutorials/own-videos.md"])
def test_the_five_lines_of_python_do_what_they_say(
    page: str, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As printed, but for the places: the tiny world is the library, and the bundled encoder reads it."""
    (code,) = blocks(ROOT / page, "python")
    for printed, here in (
        ("~/Videos", str(mine / "videos")),
        ("siglip2-b16", "world"),
        ("a dog jumps into the pool", "a red ball bounces"),
        ("dog.mp4", str(tmp_path / "dog.mp4")),
    ):
        assert printed in code
        code = code.replace(printed, here)
    exec(compile(code, page, "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert (tmp_path / "dog.mp4").stat().st_size > 0


def test_the_shell_lines_of_the_readme_do_what_they_say(
    mine: Path, siglip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As printed, against a hub on this machine whose model of that name is a tiny one."""
    monkeypatch.setenv("PRVR_DATA", str(tmp_path / "data"))
    shutil.copytree(mine / "videos", tmp_path / "Videos")
    commands = next(block for block in blocks(ROOT / "README.md", "console") if "prvr index" in block)
    lines = [line.removeprefix("$ prvr ") for line in commands.splitlines()]
    assert len(lines) == 4
    with local_hub({"google/siglip2-base-patch16-224": siglip_folder}) as hub:
        ask(monkeypatch, hub.url, cache=tmp_path / "cache")
        for line in lines:
            words = shlex.split(line.replace("~/Videos", str(tmp_path / "Videos")), comments=True)
            assert main(words) == 0, line
    assert ": your default model" in capsys.readouterr().err


def test_a_world_of_features_is_made_as_the_docs_say(tmp_path: Path) -> None:
    (code,) = blocks(ROOT / "docs" / "results" / "world.md", "python")
    assert 'Path("large")' in code
    assert 'size="large"' in code
    here = code.replace('Path("large")', f"Path({str(tmp_path)!r})").replace('size="large"', 'size="tiny"')
    found: dict[str, Any] = {}
    exec(compile(here, "world.md", "exec"), found)
    assert len(found["store"].entries()) == 12
    assert main(["evaluate", "zero-shot", "--data", str(tmp_path)]) == 0
