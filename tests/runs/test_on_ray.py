"""Many runs on a Ray cluster of two nodes, of which one goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.make import OURS, Nodes, prvr
from tests.reproduce.make import SMALL, qvhighlights
from tests.runs.test_many import break_down, die, task, writing

pytestmark = pytest.mark.cluster
PATIENCE_S = 300
SETTINGS = [word for setting in (*SMALL, "train.epochs=1") for word in ("--set", setting)]
NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head that works on nothing, and a node of one core."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'prvr[ray]'")
    with Nodes() as cluster:
        cluster.add(NODE="first")
        yield cluster


def driven(what: Callable[[str, Path], Any], on: str, folder: Path) -> list[str]:
    """The command that runs one of the functions below on a cluster; Ray leaves open what a test must not."""
    code = f"import sys; from tests.runs import test_on_ray as here; here.say(here.{what.__name__}, *sys.argv[1:])"
    return [sys.executable, "-c", code, on, str(folder)]


def test_runs_that_fail_break_or_die_are_lines_and_the_others_go_on(nodes: Nodes, tmp_path: Path) -> None:
    done = subprocess.run(
        driven(lines, nodes.on, tmp_path), env=OURS, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    failed, logs = found["failed"], tmp_path / "logs"
    assert set(failed) == {"dies", "breaks"}
    assert failed["dies"].startswith("dies: lost its worker 3 times (")
    assert failed["dies"].endswith(f": the last words; its log is {logs / 'dies.log'}")
    assert (logs / "dies.log").read_text() == 3 * "the last words\n"
    assert failed["breaks"].startswith("breaks: stopped: ZeroDivisionError: one by none")
    assert failed["breaks"].endswith(f"; its log is {logs / 'breaks.log'}")
    assert {"wrote one", "wrote two"} <= set(found["said"])
    processes = {(tmp_path / "runs" / name / "made").read_text().split()[0] for name in ("one", "two")}
    assert len(processes | {str(found["driver"])}) == 3, "each in a process of its own"


def test_a_run_whose_node_goes_is_made_on_another(nodes: Nodes, tmp_path: Path) -> None:
    """The run on the node that goes is begun again, and no other is."""
    second = nodes.add(NODE="second")
    until = time.monotonic() + PATIENCE_S
    with subprocess.Popen(driven(lost, nodes.on, tmp_path), env=OURS, stdout=subprocess.PIPE, text=True) as driver:
        while not (held := [name for name in NAMES if begun(tmp_path, name) == ["second"]]):
            assert driver.poll() is None
            assert time.monotonic() < until, "no run began on the node that is to go"
            time.sleep(0.1)
        nodes.remove(second)
        said, _ = driver.communicate(timeout=PATIENCE_S)
    assert sorted(json.loads(said.splitlines()[-1])) == [f"{name} is done" for name in sorted(NAMES)]
    for name in NAMES:
        assert begun(tmp_path, name) == (["second", "first"] if name in held else ["first"])


def test_a_table_of_runs_on_a_cluster_is_the_same(nodes: Nodes, tmp_path: Path) -> None:
    pack = qvhighlights(tmp_path / "benchmark")
    places: dict[str, list[str]] = {"one": [], "many": ["--on", nodes.on]}
    for name, more in places.items():
        words: list[str | Path] = ["reproduce", "table9", "--data", pack, "--out", tmp_path / name, *SETTINGS, *more]
        done = subprocess.run(
            prvr(*words), env=OURS, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(" epochs, best ") == 2
    for suffix in ("md", "tex", "json"):
        ours, theirs = ((tmp_path / folder / f"table9.{suffix}").read_bytes() for folder in ("many", "one"))
        assert ours == theirs
    words = ["train", "prvr.methods.msc.runs:qvhighlights", "--data", pack, "--out", tmp_path / "sweep", *SETTINGS]
    more = ["--grid", "optim.lr=1e-3,2e-3", "--on", nodes.on, "--cpus-per-worker", "64"]
    done = subprocess.run(
        prvr(*words, *more), env=OURS, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 1
    assert "no node of the cluster has the 64 CPU" in done.stderr


def say(what: Callable[[str, Path], Any], on: str, folder: str) -> None:
    """As its last line, so that the test that asked can read it."""
    print(json.dumps(what(on, Path(folder))))


def lines(on: str, folder: Path) -> dict[str, Any]:
    """Runs of all kinds."""
    from prvr.cluster.opening import open_cluster
    from prvr.runs.many import run_all
    from prvr.runs.on_ray import on_ray

    tasks = [task(folder, "dies", die), task(folder, "breaks", break_down)]
    tasks += [writing(folder, name) for name in ("one", "two")]
    said: list[str] = []
    with open_cluster(on) as ray:
        failed = run_all(tasks, partial(on_ray, ray=ray, at_once=2), say=said.append)
    return {"failed": {run.name: line for run, line in failed.items()}, "said": said, "driver": os.getpid()}


def lost(on: str, folder: Path) -> list[str]:
    """Three runs, as many at once as there are nodes."""
    from prvr.cluster.opening import open_cluster
    from prvr.runs.on_ray import on_ray

    with open_cluster(on) as ray:
        tasks = [task(folder, name, partial(noted, folder, name)) for name in NAMES]
        return [end.said or end.error for _, end in on_ray(tasks, ray=ray)]


def noted(folder: Path, name: str) -> str:
    """A run that notes where it begins. It is never done on the second node, nor elsewhere before one began there."""
    with (folder / name).open("a") as opened:
        opened.write(f"{os.environ['NODE']}\n")
    until = time.monotonic() + PATIENCE_S
    while os.environ["NODE"] == "second" or not any("second" in begun(folder, other) for other in NAMES):
        assert time.monotonic() < until, "no run began on the second node, or it did not go"
        time.sleep(0.05)
    return f"{name} is done"


def begun(folder: Path, name: str) -> list[str]:
    """The nodes on which a run began."""
    file = folder / name
    return file.read_text().split() if file.exists() else []
