"""Ray's own two nodes on loopback, in a process that the tests talk to; and few small videos under many names."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prvr.cluster.opening import LOOPBACK
from tests.video.make import steps, write_video

TRIES = 4
QUICK = str(Path(__file__).with_name("quick"))
OURS = {
    **os.environ,
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    LOOPBACK: "0",
    "PYTHONPATH": QUICK,
}


class Nodes:
    """A cluster whose nodes come and go as a test says."""

    def __init__(self) -> None:
        """Ray gives what it starts fifteen seconds, and on a busy machine that may not do at once."""
        for _ in range(TRIES):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.cluster.make"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=OURS,
                start_new_session=True,
            )
            self.on = self._answer()  # ray://HOST:PORT
            if self.on:
                return
            self._kill()
        raise AssertionError(f"no cluster of Ray could be started in {TRIES} attempts")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._kill()

    def _kill(self) -> None:
        """All that is left of it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def add(self, **environment: str) -> str:
        """A node of one core, whose workers have this in their environment; -> what it is called here."""
        return self._ask(["add", environment])

    def remove(self, name: str) -> None:
        """It goes, and all that runs on it."""
        self._ask(["remove", name])

    def _ask(self, message: Sequence[Any]) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        assert answer, "the cluster ended"
        return answer

    def _answer(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("> "):
                return line[2:].strip()
        return ""


def library(folder: Path, *, videos: int = 60, distinct: int = 6) -> Path:
    """Small videos: a few that differ, under many names."""
    folder.mkdir(parents=True)
    for number in range(videos):
        place = folder / f"{number:02d}.mp4"
        if number < distinct:
            write_video(place, steps(3 + number % 3, 12.5), options={"crf": str(20 + number)})
        else:
            shutil.copy(folder / f"{number % distinct:02d}.mp4", place)
    return folder


def prvr(*arguments: str | Path) -> list[str]:
    """The command line in a process of its own."""
    return [sys.executable, "-m", "prvr", *map(str, arguments)]


@contextmanager
def _free_ports(count: int) -> Iterator[list[int]]:
    """Ports that nobody has, all of them different."""
    with ExitStack() as held:
        taken = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        yield [one.getsockname()[1] for one in taken]


def _node() -> dict[str, Any]:
    """Ray waits fifteen seconds for its helpers to name their ports, unless they are given them: a busy machine may not
    be as fast.
    """
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    with _free_ports(len(names)) as ports:
        given = dict(zip(names, ports, strict=True))
    return {
        **given,
        "num_cpus": 1,
        "include_log_monitor": False,
        "node_ip_address": "127.0.0.1",
        "object_store_memory": 80 << 20,
    }


def main() -> None:
    """A head that works on nothing, and nodes as they are asked for, until nobody asks any more."""
    from ray.cluster_utils import Cluster

    with _free_ports(1) as ports:
        port = ports[0]
    head = {**_node(), "num_cpus": 0, "include_dashboard": False, "ray_client_server_port": port}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes: dict[str, Any] = {}
    print(f"> ray://127.0.0.1:{port}", flush=True)
    for line in sys.stdin:
        word, what = json.loads(line)
        if word == "add":
            name = str(len(nodes))
            nodes[name] = cluster.add_node(**_node(), env_vars=what)
            cluster.wait_for_nodes()
            print(f"> {name}", flush=True)
        else:
            cluster.remove_node(nodes.pop(what))
            print("> gone", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
