"""Many runs on a Ray cluster of this machine's own, and on two nodes of which one goes.

Ray is started by processes of their own: what it leaves open at its end would count as a fault of the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.reproduce.make import SMALL, qvhighlights
from tests.runs.test_many import break_down, die, task, writing

ROOT = Path(__file__).parents[2]
SETTINGS = [word for setting in (*SMALL, "train.epochs=1") for word in ("--set", setting)]
NAMES = ("one", "two", "three")

pytest.importorskip("ray", reason="Ray is not installed: pip install 'prvr[ray]'")
pytestmark = pytest.mark.cluster


def called(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=600)


def driven(what: str, folder: Path) -> Any:
    """What one of the functions below says on a cluster."""
    done = called(["-m", "tests.runs.test_on_ray", what, str(folder)])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_runs_that_fail_break_or_die_are_lines_and_the_others_go_on(tmp_path: Path) -> None:
    found = driven("lines", tmp_path)
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
    assert "--cpus-per-worker 64, --gpus-per-worker 0: no node has as much; they have 2 CPUs" in found["too large"]


def test_a_run_whose_node_goes_is_made_on_another(tmp_path: Path) -> None:
    """The run on the node that goes is begun again, and no other is."""
    found = driven("lost", tmp_path)
    assert sorted(found["ended"]) == sorted(NAMES)
    begun = {name: len((tmp_path / name).read_text().split()) for name in NAMES}
    assert begun == {name: 2 if name == found["stuck"] else 1 for name in NAMES}


def test_a_table_of_runs_on_a_cluster_is_the_same(tmp_path: Path) -> None:
    pack = qvhighlights(tmp_path / "benchmark")
    for name, more in (("one", []), ("many", ["--on", "ray"])):
        words = ["reproduce", "table9", "--data", str(pack), "--out", str(tmp_path / name), *SETTINGS, *more]
        done = called(["-m", "prvr", *words])
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(" epochs, best ") == 2
    for suffix in ("md", "tex", "json"):
        ours, theirs = ((tmp_path / folder / f"table9.{suffix}").read_bytes() for folder in ("many", "one"))
        assert ours == theirs


def lines(folder: Path) -> dict[str, Any]:
    """Runs of all kinds, and one that asks for too much."""
    from prvr.cluster.opening import open_cluster
    from prvr.core.errors import ClusterError
    from prvr.runs.many import run_all
    from prvr.runs.on_ray import RunNeeds, on_ray

    tasks = [task(folder, "dies", die), task(folder, "breaks", break_down)]
    tasks += [writing(folder, name) for name in ("one", "two")]
    said: list[str] = []
    with open_cluster("ray", cpus=2) as ray:
        failed = run_all(tasks, partial(on_ray, ray=ray, needs=RunNeeds(), at_once=2), say=said.append)
        try:
            run_all([writing(folder, "large")], partial(on_ray, ray=ray, needs=RunNeeds(cpus=64)), say=said.append)
        except ClusterError as error:
            why = str(error)
    names = {run.name: line for run, line in failed.items()}
    return {"failed": names, "said": said, "driver": os.getpid(), "too large": why}


def work_long(file: Path, node: str) -> str:
    """Notes each beginning; goes on for long on one node, and ends at once on any other."""
    import ray

    own = ray.get_runtime_context().get_node_id()
    with file.open("a") as opened:
        opened.write(f"{own}\n")
    if own == node:
        time.sleep(600)
    return f"done on {own}"


def lost(folder: Path) -> dict[str, Any]:
    """Three runs on two nodes with room for one each; the node on which one works for long goes."""
    import ray
    from ray.cluster_utils import Cluster

    from prvr.runs.on_ray import RunNeeds, on_ray

    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    goes = cluster.add_node(**node)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False, _node_ip_address="127.0.0.1")
    tasks = [task(folder, name, partial(work_long, folder / name, goes.node_id)) for name in NAMES]
    place = on_ray(tasks, ray=ray, needs=RunNeeds())
    ended = [next(place)[0].name]  # on the node that stays
    until = time.monotonic() + 120
    while not (stuck := [name for name in NAMES if goes.node_id in read(folder / name)]):
        assert time.monotonic() < until, "no run has begun on the node that is to go"
        time.sleep(0.1)
    cluster.remove_node(goes, allow_graceful=False)
    ended += [one.name for one, end in place if end.said]
    ray.shutdown()
    cluster.shutdown()
    return {"ended": ended, "stuck": stuck[0]}


def read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


if __name__ == "__main__":
    print(json.dumps({"lines": lines, "lost": lost}[sys.argv[1]](Path(sys.argv[2]))))
