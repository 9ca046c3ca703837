"""A wheel does what the README says, installed into a new environment without any extra: `python check_wheel.py WHEEL`.

Nothing of the checkout is used but constraints.txt. It prints a line a step, with its seconds, and stops at the first
thing that is not as it should be.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
WANTED = {
    ("index", "VIDEOS", "--encoder", "things", "--index", "other"): "prvr[things]",
    ("search", "red", "--index", "demo", "--export", "hits.otio"): "prvr[otio]",
    ("listen", "VIDEOS", "--speech", "whisper-small", "--index", "demo"): "prvr[speech]",
    ("read", "VIDEOS", "--index", "demo"): "prvr[ocr]",
    ("mcp", "--index", "demo"): "prvr[mcp]",
    ("reproduce", "figure1", "--data", "demo"): "prvr[plot]",
}
"""What asks for an extra that is not there -> what it names."""


class Installed:
    """prvr in an environment of its own, below a folder that has nothing else in it."""

    def __init__(self, root: Path, wheel: Path) -> None:
        venv.create(root / "venv", with_pip=True)
        self.bin = root / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.root = root
        pip = [str(self.bin / "python"), "-m", "pip", "install", "--quiet", "--no-compile", "-c", str(CONSTRAINTS)]
        done = subprocess.run([*pip, str(wheel)], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The command, with both of its streams as one."""
        return subprocess.Popen(
            [self.bin / "prvr", *words],
            cwd=self.root,
            env={**os.environ, "PRVR_DATA": str(self.root / "data"), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def run(self, *words: str, code: int = 0) -> str:
        """What the command says until it ends."""
        process = self.start(*words)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == code, f"prvr {' '.join(words)} ended with {process.returncode}:\n{said}"
        return said

    @contextlib.contextmanager
    def running(self, *words: str, until: str) -> Iterator[str]:
        """What the command has said when it comes to a line with `until`; then ended by Ctrl-C, without a traceback."""
        process = self.start(*words)
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if until in line:
                break
        else:
            raise AssertionError(f"prvr {' '.join(words)} never said {until!r}:\n{''.join(said)}")
        try:
            yield "".join(said)
            process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)
            rest, _ = process.communicate(timeout=60)
            assert "Traceback" not in rest, rest
        finally:
            process.kill()
            process.wait()


def metadata(wheel: Path) -> str:
    """It can be read on a package index: no link that leads nowhere there, no picture without its place."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        said = email.message_from_bytes(archive.read(name), policy=email.policy.default)
        text = said.get_content()
        assert any("serve/page/" in file for file in archive.namelist()), "the page is not in it"
    assert said["Description-Content-Type"] == "text/markdown"
    relative = re.findall(r"\]\((?!https?://|#)[^)]*\)", text)
    assert len(text) > 2000, "the README is not in it"
    assert not relative, relative
    assert "<!--" not in text, "a remark for developers"
    return f"{said['Name']} {said['Version']}, {wheel.stat().st_size / 1e6:.1f} MB"


def demo(prvr: Installed) -> str:
    """The demo answers three sentences before it trains, and stopping it there loses nothing."""
    with prvr.running("demo", "--size", "tiny", "--out", "demo", until="Training") as said:
        assert said.count("videos/w0") >= 3, said
    return f"{said.count('.webm')} videos named in its answers"


def own_videos(prvr: Installed) -> str:
    """A folder of videos is indexed, and a search finds the moment in one of them."""
    prvr.run("index", "demo/videos", "--encoder", "world", "--index", "library")
    found = prvr.run("search", "A red circle moves to the left.", "--index", "library", "--json", "-k", "3")
    (answer,) = json.loads(found[found.index("[") : found.rindex("]") + 1])
    first = answer["hits"][0]
    assert first["end"] > first["start"] >= 0, first
    return f"first hit {first['video_id']}, {first['start']:.0f} to {first['end']:.0f} s"


def page(prvr: Installed) -> str:
    """The page and a search come over HTTP, to who has the token and to nobody else."""
    with prvr.running("serve", "--index", "library", "--port", "0", "--no-open", "--json", until='"token"') as said:
        told = json.loads(said[said.index("{") :].partition("}")[0] + "}")
        url, header = told["url"].rstrip("/"), {"Authorization": f"Bearer {told['token']}"}

        def ask(path: str, **headers: str) -> str:
            with urlopen(Request(url + path, headers=headers), timeout=60) as answer:
                return str(answer.read(), "utf-8")

        with contextlib.suppress(HTTPError):
            raise AssertionError(f"answered without a token: {ask('/v1/search?q=red')[:200]}")
        assert "<script" in ask("/", **header)
        hits = json.loads(ask("/v1/search?q=a+blue+square", **header))["data"]
        assert hits, "no hits"
        return f"{len(hits)} hits over HTTP"


def extras(prvr: Installed) -> str:
    """What is missing is named, with the words that install it."""
    for words, extra in WANTED.items():
        said = prvr.run(*(word.replace("VIDEOS", "demo/videos") for word in words), code=1)
        assert extra in said, f"{words}: {said}"
    return f"{len(WANTED)} extras named"


def main(wheel: Path) -> None:
    """All steps, one after the other."""

    def step(name: str, do: Callable[[], object]) -> None:
        began = time.monotonic()
        print(f"{name:10} {do() or ''}  ({time.monotonic() - began:.0f} s)", flush=True)

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="prvr-wheel-", ignore_cleanup_errors=True) as folder:
        made: list[Installed] = []
        step("metadata", lambda: metadata(wheel))
        step("install", lambda: made.append(Installed(Path(folder), wheel)))
        step("help", lambda: made[0].run("--help").partition("\n")[0])
        step("demo", lambda: demo(made[0]))
        with ThreadPoolExecutor(2) as pool:
            missing = pool.submit(step, "extras", lambda: extras(made[0]))  # needs nothing of the others
            step("videos", lambda: own_videos(made[0]))
            step("page", lambda: page(made[0]))
            missing.result()
    print(f"{wheel.name} is in order ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
