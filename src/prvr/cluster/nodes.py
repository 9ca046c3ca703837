"""What the nodes of a cluster have installed and see, compared with what is here before any of them works."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from prvr.core.errors import ClusterError, PrvrError

ANSWER_S = 120.0  # until a node that says nothing is given up; a busy one takes some seconds to start a process
MEASURED = ("torch", "av", "ray")  # packages whose versions change what comes out, or how it travels
NOTHING: Mapping[str, float] = MappingProxyType({})
T = TypeVar("T")


def everywhere(
    ray: Any,
    function: Callable[..., T],
    *arguments: Any,
    needs: Mapping[str, float] = NOTHING,
    timeout_s: float = ANSWER_S,
) -> dict[str, T]:
    """What `function(*arguments)` returns on each node that has what a worker `needs` (CPU, GPU), by the node's name.

    It takes none of the node's CPUs itself.
    A function that is made inside another one travels whole, all others by name. Raises what it raises of ours there,
    ClusterError where a node does not answer in time. A node that goes meanwhile is left out.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(_kept(function))
    nodes = {node["NodeID"]: node_name(node) for node in ray.nodes() if fits(node, needs)}
    asked = {
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(*arguments): node
        for node in nodes
    }
    done, silent = ray.wait(list(asked), num_returns=len(asked), timeout=timeout_s)
    if silent:
        name = nodes[asked[silent[0]]]
        raise ClusterError(f"{name}: does not answer in {timeout_s:g} s; look at it with `ray status`, or take it out")
    answers = {}
    for answer in done:
        name = nodes[asked[answer]]
        try:
            value, error = ray.get(answer)
        except ray.exceptions.RayTaskError as failed:
            why = str(failed).strip().splitlines()[-1]
            raise ClusterError(f"{name}: cannot run what is asked of it ({why}); install the same prvr there") from None
        except ray.exceptions.RayError:  # it is gone
            continue
        if error:
            raise error
        answers[name] = value
    return answers


def node_name(node: Mapping[str, Any]) -> str:
    """What a node of `ray.nodes()` is called: its address, and the beginning of its id, as two may share an address."""
    return f"node {node['NodeManagerAddress']} ({node['NodeID'][:6]})"


@cache
def this_node() -> str:
    """What the node is called on which this runs."""
    import ray

    ours = ray.get_runtime_context().get_node_id()
    return next(node_name(node) for node in ray.nodes() if node["NodeID"] == ours)


def fits(node: Mapping[str, Any], needs: Mapping[str, float]) -> bool:
    """Whether a node of `ray.nodes()` is there and has what a worker needs."""
    has = node["Resources"]
    return bool(node["Alive"]) and all(has.get(name, 0) >= count for name, count in needs.items())


def check_nodes(ray: Any, *, needs: Mapping[str, float] = NOTHING) -> None:
    """Raises ClusterError, a line that names the node and all that differs, unless each has installed what is here.

    Only nodes count that have what a worker `needs`; ClusterError also where there is none.
    """
    there = everywhere(ray, _installed_there(), needs=needs)
    if not there:
        what = " and ".join(f"{count:g} {name}" for name, count in needs.items())
        raise ClusterError(f"no node of the cluster has the {what} that a worker is to have; ask for less, or add one")
    check_same(installed(), there, "install the same there, or take it out")


def check_same(ours: Mapping[str, str], theirs: Mapping[str, Mapping[str, str]], step: str) -> None:
    """Raises ClusterError unless each node says what is said here: by node and by what is compared, its version."""
    lines = []
    for node, says in theirs.items():
        other = [
            f"{name} {says.get(name) or 'missing'} (here {mine})"
            for name, mine in ours.items()
            if says.get(name) != mine
        ]
        if other:
            lines.append(f"{node} has {', '.join(other)}")
    if lines:
        raise ClusterError(f"{'; '.join(lines)}; {step}")


@cache
def installed() -> dict[str, str]:
    """By name, the versions of what makes results what they are: Python, prvr with a sum of its code, torch, PyAV."""
    return _installed_there()()


def _installed_there() -> Callable[[], dict[str, str]]:
    """A function that a node can run which has no prvr, or another one: it travels whole."""
    packages = MEASURED

    def look() -> dict[str, str]:
        found = {"Python": ".".join(map(str, sys.version_info[:2]))}
        for name in packages:
            try:
                found[name] = importlib.metadata.version(name).partition("+")[0]  # builds for CPUs and GPUs mix
            except importlib.metadata.PackageNotFoundError:
                found[name] = ""
        try:
            import prvr
        except ImportError:
            return found
        place = Path(prvr.__file__).parent
        code = hashlib.sha256()
        for file in sorted(place.rglob("*.py")):
            code.update(file.relative_to(place).as_posix().encode() + file.read_bytes())
        return {**found, "prvr": f"{prvr.__version__} ({code.hexdigest()[:8]})"}

    return look


def _kept(function: Callable[..., T]) -> Callable[..., tuple[T | None, PrvrError | None]]:
    """An error of ours is an answer too: thrown in a task it would come back wrapped in a traceback."""

    def answer(*arguments: Any) -> Any:
        try:
            return function(*arguments), None
        except Exception as error:
            if any(kind.__name__ == "PrvrError" for kind in type(error).__mro__):
                return None, error
            raise

    return answer
