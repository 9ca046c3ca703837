"""A crowd before a server: how long answers take, whether micro-batching pays, and whether memory stays flat.

    python -m benchmarks.serve INDEX [--seconds 60] [--clients 100] [--requests 10000] [--encoder FOLDER]

Two servers over the same index, one that answers waiting sentences together and one that answers them one by one, take
turns of five seconds before the same clients, so that whatever else the machine does meets both. Clients keep their
connections and ask different sentences, one after the other without a pause. Then a server gets so many requests of
every kind, some of them wrong, and says how much memory it has.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from prvr.data.annotations import read_queries

TURN_S = 5.0
Reply = tuple[int, bytes]


class Client:
    """One connection, kept open, to a server on this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, *, method: str = "GET", body: bytes = b"") -> Reply:
        """-> status and body of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        kind = "Content-Type: application/json\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {os.environ['PRVR_TOKEN']}\r\n"
        head += f"{kind}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        content = await reader.readexactly(length)
        if b"connection: close" in answer:
            self.close()
        return int(answer.split()[1]), content

    def close(self) -> None:
        """Hang up."""
        if self._streams:
            self._streams[1].close()
            self._streams = None


class Crowd(NamedTuple):
    """What the clients of one server saw."""

    took: list[float]  # seconds, of every answer
    statuses: Counter[int]
    seconds: list[float]  # of every turn


def serve(index: Path, together: int, encoder: str | None) -> None:
    """What the process of a server does; its first line is its port."""
    from dataclasses import replace

    from prvr.serve.runner import Started, lock_for, run
    from prvr.serve.settings import ServeConfig

    def on_start(started: Started) -> None:
        print(started.config.port, flush=True)

    lock = lock_for(index)
    config = ServeConfig(folder=index, port=0, encoder=encoder, token=lock.digest, keyring=lock.keyring)
    run(replace(config, together=together), on_start=on_start)


@contextmanager
def server(index: Path, together: int, encoder: str | None) -> Iterator[int]:
    """A server in a process of its own; -> its port."""
    command = [sys.executable, "-m", "benchmarks.serve", str(index), "--serve", str(together)]
    command += ["--encoder", encoder] if encoder else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        process.terminate()


async def crowd(port: int, sentences: Iterator[str], clients: int, seconds: float, seen: Crowd) -> None:
    """So many clients for so long."""
    end = time.perf_counter() + seconds

    async def one() -> None:
        client = Client(port)
        while (began := time.perf_counter()) < end:
            status, _ = await client.ask(f"/v1/search?q={quote(next(sentences))}")
            seen.took.append(time.perf_counter() - began)
            seen.statuses[status] += 1
        client.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    seen.seconds.append(time.perf_counter() - began)


async def side_by_side(ports: list[int], sentences: list[str], clients: int, seconds: float) -> list[Crowd]:
    """Both servers in turns; the first turn of each is not counted."""
    rng = random.Random(0)
    endless = (rng.choice(sentences) for _ in itertools.count())
    found = [Crowd([], Counter(), []) for _ in ports]
    for port in ports:
        await crowd(port, endless, clients, 1.0, Crowd([], Counter(), []))
    for _ in range(max(1, round(seconds / TURN_S))):
        for port, seen in zip(ports, found, strict=True):
            await crowd(port, endless, clients, min(seconds, TURN_S), seen)
    return found


def kinds(sentences: list[str], ids: list[str], rng: random.Random) -> tuple[str, str, bytes]:
    """A request of any kind: method, path, body."""
    text, video = rng.choice(sentences), quote(rng.choice(ids), safe="")
    body = json.dumps({"query_text": text, "page_limit": rng.choice([5, 20, 50])}).encode()
    span = {"video_id": rng.choice(ids), "start": 0, "end": 3}
    return rng.choice(
        [
            ("GET", f"/v1/search?q={quote(text)}", b""),
            ("POST", "/v1/search", body),
            ("POST", "/v1/search", json.dumps({"query_text": f"{text} then a star", "negative": ["a tree"]}).encode()),
            ("POST", "/v1/search", json.dumps({"like": span}).encode()),
            ("GET", f"/v1/videos/{video}/scores?q={quote(text)}", b""),
            ("GET", f"/v1/videos/{video}/thumb?t={rng.choice([1, 2, 3])}&width=160", b""),
            ("GET", f"/v1/videos/{video}", b""),
            ("GET", "/v1/videos?limit=50", b""),
            ("GET", "/v1/libraries", b""),
            ("GET", f"/plain?q={quote(text)}", b""),
            ("GET", "/healthz", b""),
            ("GET", f"/v1/videos/none{rng.random()}", b""),
            ("GET", f"/no/such/{rng.random()}", b""),
            ("POST", "/v1/search", b'{"query_text": '),
            ("POST", "/v1/search", b'{"query_text": "\\"open"}'),
        ]
    )


async def mixed(port: int, sentences: list[str], requests: int) -> tuple[dict[int, float], Counter[int]]:
    """So many requests of all kinds from eight clients -> MB of memory at some numbers of them, and the answers."""
    rng, first = random.Random(1), Client(port)
    ids = [video["id"] for video in json.loads((await first.ask("/v1/videos?limit=100"))[1])["data"]]
    first.close()
    marks = {requests // 100, requests // 10, requests // 2, requests}
    memory, statuses, left = dict[int, float](), Counter[int](), iter(range(requests))

    async def one() -> None:
        mine = Client(port)
        for number in left:
            method, path, body = kinds(sentences, ids, rng)
            statuses[(await mine.ask(path, method=method, body=body))[0]] += 1
            if number + 1 in marks:
                memory[number + 1] = await resident(mine)
        mine.close()

    await asyncio.gather(*(one() for _ in range(8)))
    return memory, statuses


async def resident(client: Client) -> float:
    """MB that a server holds."""
    text = (await client.ask("/metrics"))[1].decode()
    return float(text.partition("\nprocess_resident_memory_bytes ")[2].partition("\n")[0]) / 1e6


def at(values: list[float], share: float) -> float:
    """A quantile in milliseconds."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1e3


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("index", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--encoder")
    parser.add_argument("--serve", type=int)
    args = parser.parse_args()
    os.environ.setdefault("PRVR_TOKEN", secrets.token_urlsafe(24))
    if args.serve:
        serve(args.index, args.serve, args.encoder)
        return
    files = sorted((args.index / "annotations").glob("*.jsonl"))
    sentences = sorted({query.text for file in files for query in read_queries(file)})
    print(f"{args.clients} clients, {args.seconds:g} s each, {len(sentences)} sentences, load {os.getloadavg()[0]:.1f}")
    with server(args.index, 16, args.encoder) as together, server(args.index, 1, args.encoder) as alone:
        found = asyncio.run(side_by_side([together, alone], sentences, args.clients, args.seconds))
    for name, seen in zip(("together", "one by one"), found, strict=True):
        times = "  ".join(f"p{100 * share:.0f} {at(seen.took, share):7.1f} ms" for share in (0.5, 0.95, 0.99))
        print(f"{name:10}  {times}  {len(seen.took) / sum(seen.seconds):6.1f}/s  {dict(seen.statuses)}")
    with server(args.index, 16, args.encoder) as port:
        memory, statuses = asyncio.run(mixed(port, sentences, args.requests))
    print("memory  " + "  ".join(f"{number:,}: {value:.0f} MB" for number, value in sorted(memory.items())))
    print(f"answers {dict(sorted(statuses.items()))}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
