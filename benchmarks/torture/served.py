"""A server for a long time, in spite of everything, and with many clients at once."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks import serve
from prvr.data.annotations import read_queries
from prvr.data.world import generate_world
from prvr.encoders.world import load_world_encoder
from prvr.search.indexing import build_index

WARM = 0.3  # share of the soak after which memory is compared


def library(folder: Path) -> list[str]:
    """An index of generated videos; -> sentences about them."""
    generate_world(folder, size="tiny", seed=0, workers=1)
    build_index([folder / "videos"], folder, load_world_encoder(), workers=1, home=[])
    files = sorted((folder / "annotations").glob("*.jsonl"))
    return sorted({query.text for file in files for query in read_queries(file)})


@contextmanager
def served(index: Path) -> Iterator[tuple[int, int]]:
    """A server in a process of its own -> its port and its number."""
    os.environ.setdefault("PRVR_TOKEN", secrets.token_urlsafe(24))
    command = [sys.executable, "-m", "benchmarks.serve", str(index), "--serve", "32"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.terminate()


def crowd(folder: Path, clients: int, seconds: float) -> Iterator[str]:
    """So many clients that search without a pause."""
    sentences = library(folder)
    endless = itertools.cycle(sentences)
    with served(folder) as (port, _):
        asyncio.run(serve.crowd(port, endless, clients, 1.0, serve.Crowd([], Counter(), [])))
        seen = serve.Crowd([], Counter(), [])
        asyncio.run(serve.crowd(port, endless, clients, seconds, seen))
    wrong = sum(count for status, count in seen.statuses.items() if status != 200)
    middle, most = serve.at(seen.took, 0.5), serve.at(seen.took, 0.99)
    rate = len(seen.took) / sum(seen.seconds)
    took = f"{rate:.0f} answers/s, p50 {middle:.0f} ms, p99 {most:.0f} ms"
    yield f"| {clients} clients, {seconds:.0f} s | {took} | {wrong} errors |"


def soak(folder: Path, minutes: float) -> Iterator[str]:
    """Searches of all kinds, exports, readings, workers that are killed and clients that vanish."""
    sentences = library(folder)
    with served(folder) as (port, pid):
        statuses, killed, marks = asyncio.run(_soak(port, pid, folder, sentences, minutes * 60))
    warm, last = marks[int(len(marks) * WARM)], marks[-1]
    wrong = sum(count for status, count in statuses.items() if status >= 500 and status != 503)
    yield (
        f"| soak, {minutes:g} min | {sum(statuses.values()):,} answers, {killed} workers killed | {wrong} 5xx but 503; "
        f"memory {warm[0]:.0f} MB warm, {last[0]:.0f} MB at the end; descriptors {warm[1]}, then {last[1]} |"
    )


async def _soak(
    port: int, pid: int, folder: Path, sentences: list[str], seconds: float
) -> tuple[Counter[int], int, list[tuple[float, int]]]:
    end, chance = time.monotonic() + seconds, random.Random(0)
    statuses, marks, killed = Counter[int](), list[tuple[float, int]](), 0
    first = serve.Client(port)
    ids = [video["id"] for video in json.loads((await first.ask("/v1/videos?limit=100"))[1])["data"]]

    async def asks() -> None:
        mine = serve.Client(port)
        while time.monotonic() < end:
            method, path, body = serve.kinds(sentences, ids, chance)
            statuses[(await mine.ask(path, method=method, body=body))[0]] += 1
        mine.close()

    async def vanishes() -> None:
        while time.monotonic() < end:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(
                    b"GET /v1/search?q=a+red+circle HTTP/1.1\r\nHost: localhost\r\n" + chance.choice([b"", b"\r\n"])
                )
                await asyncio.sleep(chance.random() / 5)
                writer.transport.abort()

    async def works() -> None:
        nonlocal killed
        mine = serve.Client(port)
        while time.monotonic() < end:
            clip = {"video_id": chance.choice(ids), "start": 0.5, "end": 2.0}
            jobs = [
                ("/v1/exports", {"format": chance.choice(["mp4", "csv"]), "clips": [clip]}),
                ("/v1/libraries", {"path": str(folder / "videos")}),
            ]
            path, body = chance.choice(jobs)
            status, _ = await mine.ask(path, method="POST", body=json.dumps(body).encode())
            statuses[status] += 1
            await asyncio.sleep(chance.random() * 3)
            if chance.random() < 0.3:
                killed += _kill_a_worker(pid, chance)
        mine.close()

    async def looks() -> None:
        while time.monotonic() < end:
            marks.append((_memory(pid), _descriptors(pid)))
            await asyncio.sleep(max(1.0, seconds / 100))

    await asyncio.gather(*(asks() for _ in range(6)), *(vanishes() for _ in range(3)), works(), looks())
    await asyncio.sleep(5)  # what was begun ends
    marks.append((_memory(pid), _descriptors(pid)))
    first.close()
    return statuses, killed, marks


def _memory(pid: int) -> float:
    """MB that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _kill_a_worker(pid: int, chance: random.Random) -> int:
    """End a process that reads videos, or works on a job, for the server; -> whether there was one."""
    workers = [one for one in _below(pid) if b"resource_tracker" not in Path(f"/proc/{one}/cmdline").read_bytes()]
    if not workers:
        return 0
    with suppress(ProcessLookupError):
        os.kill(chance.choice(workers), signal.SIGKILL)
    return 1


def _below(pid: int) -> list[int]:
    """The processes that a process started, and those that these started."""
    of: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            of.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found = of.get(pid, [])
    for one in found:  # which grows meanwhile
        found += of.get(one, [])
    return found
