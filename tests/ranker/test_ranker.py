"""What a folder opens to: the same ranking as before, runs of before too; and never a line of code that it names."""

from __future__ import annotations

import hashlib
import json
import os
import pkgutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import prvr.methods
from prvr.core.config import fingerprint
from prvr.core.errors import CheckpointError
from prvr.core.weights import WEIGHTS, load_weights, save_weights
from prvr.methods.msc import runs as msc_runs
from prvr.methods.msc.network import METHOD
from prvr.ranker.names import TRUST, find_method, trusting
from prvr.ranker.ranker import CONFIG, Ranker, open_run, read_about
from prvr.runs.train import note
from tests.ranker.make import SAID, change, config_of, make_old, scores, write_run

OLD = ("amdnet", "arl_style", "bgmnet", "dldkd", "gmmformer", "gmmformer_v2", "msc", "mssl", "protoprvr_style")
METHODS = (*OLD, "curvspec")


def same(found: Ranker, before: Ranker) -> None:
    wanted = scores(before)
    assert len(set(wanted.flatten().tolist())) == wanted.numel(), (
        "every score is another, so that equal ones say something"
    )
    assert torch.equal(scores(found), wanted)
    assert (found.width, found.prepared.key, found.method) == (before.width, before.prepared.key, before.method)


def test_every_method_stands_where_it_says_and_nowhere_else() -> None:
    """A run names it by that, and would else open as another."""
    found = [package.name for package in pkgutil.iter_modules(prvr.methods.__path__) if package.ispkg]
    assert set(METHODS) | {"zero_shot", "trace", "tfprvr"} == set(found)
    for name in found:
        method = find_method(f"prvr.methods.{name}.network:METHOD")
        assert method.name == f"prvr.methods.{name}.network:METHOD"
        assert find_method(method.name) is method


@pytest.mark.parametrize("method", METHODS)
def test_a_folder_ranks_as_what_was_saved_in_it(method: str, tmp_path: Path) -> None:
    before = write_run(tmp_path, f"{method}:tvr")
    found = open_run(tmp_path)
    same(found, before)
    assert (found.title, found.recipe, found.settings) == (before.title, before.recipe, before.settings)
    assert (found.features, found.selected_on, found.selected_by) == (before.features, "val", "abc")
    assert (before.fingerprint, len(found.fingerprint)) == ("", len(fingerprint({})))


def test_a_name_and_notes_are_no_part_of_what_a_run_is(tmp_path: Path) -> None:
    write_run(tmp_path)
    before = open_run(tmp_path)
    note(tmp_path, name="ours, λ = 15", notes="first")
    note(tmp_path, name=None, notes="second")
    named = open_run(tmp_path)
    assert (named.title, named.fingerprint) == ("ours, λ = 15", before.fingerprint)
    assert read_about(tmp_path) == {"name": "ours, λ = 15", "notes": "second"}
    (tmp_path / "about.json").write_text("{")
    assert open_run(tmp_path).title == before.title


@pytest.mark.parametrize("method", OLD)
def test_a_run_that_named_its_recipe_alone_opens_as_it_did(method: str, tmp_path: Path) -> None:
    """And is the same to an index that was made with it: the fingerprint stays."""
    before = write_run(tmp_path, f"{method}:tvr")
    make_old(tmp_path, f"prvr.recipes.{method}:tvr")
    found = open_run(tmp_path)
    same(found, before)
    assert (found.title, found.recipe) == (before.method.title, f"prvr.recipes.{method}:tvr")
    weights, content = load_weights(tmp_path / WEIGHTS)[0], hashlib.sha256()
    for name in sorted(weights):
        content.update(name.encode() + weights[name].numpy().tobytes())
    identity = {**config_of(tmp_path), "metadata": SAID, "weights": content.hexdigest()}
    assert found.fingerprint == fingerprint(identity)


def test_settings_that_have_become_a_part_of_the_method_are_passed_over(tmp_path: Path) -> None:
    """GMMFormer v2 was a variant of MSC's settings, which had these two."""
    before = write_run(tmp_path, "gmmformer_v2:tvr")
    make_old(tmp_path, "prvr.recipes.gmmformer_v2:tvr_i3d")
    settings = config_of(tmp_path)["settings"]
    built_in = {"sized_attention": "none", "alignment": "none"}
    change(tmp_path, settings={**settings, "model": settings["model"] | built_in})
    same(open_run(tmp_path), before)
    for name, other in (("sized_attention", "blocks"), ("alignment", "linear")):
        change(tmp_path, settings={**settings, "model": settings["model"] | built_in | {name: other}})
        with pytest.raises(CheckpointError, match=rf"model\.{name}={other}, but .* no such setting.*train again into"):
            open_run(tmp_path)
    write_run(tmp_path / "msc")
    assert config_of(tmp_path / "msc")["settings"]["model"]["alignment"] == "linear"
    assert open_run(tmp_path / "msc").settings["model"]["sized_attention"] == "blocks", "where they are settings still"


def test_an_old_run_of_a_package_says_what_to_do(tmp_path: Path) -> None:
    before = write_run(tmp_path)
    make_old(tmp_path, "my_lab.runs:msc_wide")
    says = (
        r"was trained by my_lab\.runs:msc_wide, before runs named .*; train again .* \"method\": \"package\.module:NAME"
    )
    with pytest.raises(CheckpointError, match=says):
        open_run(tmp_path)
    same(open_run(tmp_path, method=METHOD), before)
    change(tmp_path, method=METHOD.name)
    same(open_run(tmp_path), before)


def test_what_is_damaged_is_said_in_a_line(tmp_path: Path) -> None:
    write_run(tmp_path)
    whole = (tmp_path / CONFIG).read_text()
    kept = config_of(tmp_path)
    left = kept.keys() - {"format", "recipe", "method", "title"}  # what a run can be opened without, or says otherwise
    without = [json.dumps({name: x for name, x in kept.items() if name != one}) for one in left]
    for content in (whole[: len(whole) // 2], "", "[]", "5", '{"recipe": "prvr.recipes.msc world"}', *without):
        (tmp_path / CONFIG).write_text(content)
        with pytest.raises(CheckpointError, match=r"config.json: is damaged or of another version .*; train again"):
            open_run(tmp_path)
    (tmp_path / CONFIG).write_text(whole)
    weights, said = load_weights(tmp_path / WEIGHTS)
    save_weights(tmp_path / WEIGHTS, {name: x for name, x in weights.items() if name != "alignment.bias"}, said)
    with pytest.raises(CheckpointError, match=r"weights of another model \(alignment.bias is not there"):
        open_run(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r"model.safetensors: there is no such file"):
        open_run(tmp_path)
    with pytest.raises(CheckpointError, match=r"no run here \(no config.json\)"):
        open_run(tmp_path / "nowhere")


PACKAGE = """
from pathlib import Path
from prvr.core.method import Method
from prvr.methods.msc.network import MSC, MSCConfig
from prvr.methods.msc.prepare import MSCVideos, PrepareConfig, prepare_videos

Path({trace!r}).write_text("imported")


def build(config: MSCConfig) -> MSC:
    return MSC(config)


METHOD = Method(
    title="ours", network=MSCConfig, build=build, cut=PrepareConfig, videos=MSCVideos, prepare=prepare_videos
)
"""


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the package `canary_pkg` writes when it is imported: it can be, but nobody has named it."""
    package, path = tmp_path / "path" / "canary_pkg", tmp_path / "trace"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "network.py").write_text(PACKAGE.format(trace=str(path)))
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.delenv(TRUST, raising=False)
    for name in ("canary_pkg", "canary_pkg.network"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return path


def test_code_outside_is_run_for_those_alone_who_trust_it(trace: Path, tmp_path: Path) -> None:
    before = write_run(tmp_path / "run")
    change(tmp_path / "run", method="canary_pkg.network:METHOD", title="")
    for trust in ((), {"canary"}, {"canary_pkg.network"}, {"prvr", ""}):
        with pytest.raises(CheckpointError, match=r"run: is of .* code outside prvr, .* add `--trust canary_pkg`"):
            open_run(tmp_path / "run", trust=trust)
    assert not trace.exists()
    assert "canary_pkg" not in sys.modules
    found = open_run(tmp_path / "run", trust={"canary_pkg"})
    assert trace.read_text() == "imported"
    assert (found.title, found.method.name) == ("ours", "canary_pkg.network:METHOD")
    same(replace(found, method=before.method), before)
    with trusting(["other", "canary_pkg"]):
        assert open_run(tmp_path / "run").title == "ours"
    assert TRUST not in os.environ
    with pytest.raises(CheckpointError, match="--trust canary_pkg"):
        open_run(tmp_path / "run")


OUTSIDE = ("canary_pkg.network:METHOD", "canary_pkg:x", "prvr.demo:measure", "prvr.cli:main", "os:getlogin", "this:s",
           "prvr.ranker.ranker:open_run", "prvr.methodsx.network:METHOD", "prvr:METHOD", "builtins:exec")  # fmt: skip
NO_NAMES = (
    *("", ":", ":METHOD", "METHOD", "prvr.methods", "prvr.methods.msc.network", "prvr.methods.msc.network:"),
    *(
        "prvr.methods.msc.network:METHOD.build",
        "prvr.methods.msc.network:METHOD:build",
        "prvr.methods.msc.runs:world()",
    ),
    *("prvr.methods..canary_pkg.network:METHOD", ".canary_pkg.network:METHOD", "prvr.methods.:METHOD"),
    *("prvr.methods.msc.network:METHOD\n", " prvr.methods.msc.network:METHOD", "prvr.methods.msc.network :METHOD"),
    *("prvr/methods/msc/network:METHOD", "../canary_pkg/network:METHOD", "prvr.methods.msc.network\0:METHOD"),
    *("prvr.methods.msc.nеtwork:METHOD", "ｐrvr.methods.msc.network:METHOD", "prvr．methods.msc.network:METHOD"),
    *("prvr.methods.msc.network：METHOD", "prvr.methods.msc.network:ＭETHOD", "__import__('canary_pkg'):x"),
    *(5, True, ["canary_pkg.network:METHOD"], {"canary_pkg.network": "METHOD"}),
)
INSIDE = (
    ("prvr.methods.msc.runs:world", "is a function, not a Method"),
    ("prvr.methods.msc.runs:recipe", "is a partial, not a Method"),
    ("prvr.methods.msc.network:MSC", "is a type, not a Method"),
    ("prvr.methods.msc.network:torch", "is a module, not a Method"),
    ("prvr.methods.msc.network:__builtins__", "is a dict, not a Method"),
    ("prvr.methods.msc.network:canary_pkg", "there is no method"),
    ("prvr.methods.msc.network.torch:load", "there is no method"),
    ("prvr.methods.canary_pkg.network:METHOD", "there is no method"),
)
RECIPES = (
    *((name, "before runs named the method") for name in OUTSIDE),
    *((name, "is damaged or of another version") for name in NO_NAMES if isinstance(name, str)),
    *((name, "before runs named the method") for name, _ in INSIDE),
    ("prvr.recipes.canary_pkg:world", "there is no method prvr.methods.canary_pkg.network:METHOD"),
    ("prvr.recipes.msc.canary_pkg:world", "before runs named the method"),
    ("prvr.recipes.canary_pkg:world:x", "is damaged or of another version"),
    ("prvr.recipes.ｍsc:world", "is damaged or of another version"),
)


def test_what_a_folder_names_is_neither_imported_nor_called(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def canary(*_: object) -> str:
        trace.write_text("called")
        return "."

    for where in ("prvr.demo.measure", "prvr.cli.main", "prvr.ranker.ranker.open_run", "os.getlogin"):
        monkeypatch.setattr(where, canary)
    monkeypatch.setattr(msc_runs, "world", canary)
    run = tmp_path / "run"
    cases = [
        *(("method", name, "which is code outside prvr, and opening it would run that code") for name in OUTSIDE),
        *(("method", name, "is no name of a method; it is written as package.module:NAME") for name in NO_NAMES),
        *(("method", name, says) for name, says in INSIDE),
        *(("recipe", name, says) for name, says in RECIPES),
    ]
    write_run(run, "msc:tvr")
    before = set(sys.modules)
    for key, name, says in cases:
        change(run, **{"recipe": "canary_pkg.network:METHOD", "method": None} | {key: name})
        with pytest.raises(CheckpointError) as caught:
            open_run(run)
        assert says in str(caught.value), (key, name)
    assert not trace.exists()
    assert set(sys.modules) == before
    change(run, recipe="canary_pkg.network:METHOD", method=METHOD.name)
    assert open_run(run).recipe == "canary_pkg.network:METHOD", "a text, by which nothing is looked up"
    assert not trace.exists()


def test_nor_does_a_fresh_process_load_more_than_the_method(trace: Path, tmp_path: Path) -> None:
    """In this one most of prvr is loaded already, so it could not show that."""
    folders = []
    for number, name in enumerate([*OUTSIDE, *(name for name, _ in INSIDE)]):
        folders.append(tmp_path / f"{number}")
        folders[-1].mkdir()
        (folders[-1] / CONFIG).write_text(json.dumps({"method": name, "recipe": name}))
    code = (
        "import sys; from pathlib import Path; from prvr.core.errors import CheckpointError\n"
        "from prvr.ranker.ranker import open_run\n"
        "for folder in sys.argv[1:]:\n"
        "    try: open_run(Path(folder))\n"
        "    except CheckpointError: print('refused')\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('canary_pkg', 'this') or name.startswith("
        "('prvr.demo', 'prvr.cli', 'prvr.training', 'prvr.runs', 'prvr.search', 'prvr.evaluation', 'prvr.serve'))])"
    )
    paths = os.pathsep.join([str(trace.parent / "path"), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, folders)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        timeout=120,
    )
    assert done.stdout.splitlines() == ["refused"] * len(folders) + ["[]"], done.stderr
    assert not trace.exists()


def test_a_setting_that_changed_on_the_disk_is_another_model(tmp_path: Path) -> None:
    write_run(tmp_path)
    path = tmp_path / "config.json"
    written = path.read_text()
    path.write_text(written.replace('"heads": 2', '"heads": 4', 1))
    with pytest.raises(CheckpointError, match='is not what was written, .* take "sum" out of it'):
        open_run(tmp_path)
    path.write_text(written)
    assert open_run(tmp_path).fingerprint
