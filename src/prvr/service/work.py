"""What the processes of jobs run: read folders into the index, make a proxy, cut a clip.

Every task takes `report`, by which it says how far it is, and plain arguments; what is heavy is imported inside.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from prvr.core.errors import PrvrError, VideoError
from prvr.core.system import give_way
from prvr.core.text import text_of

RATHER_NOT = 5  # how much less urgent than the server a worker is
EVERY_S = 0.2  # progress is said this often at most


@dataclass(frozen=True, kw_only=True)
class JobStep:
    """How far a job is."""

    done: float = 0.0
    total: float | None = None
    unit: str = ""  # `videos`, `clips`, `s` of video; seconds listened to (`speech`) or read on the screen (`text`)
    current: str = ""  # what was finished last
    speed: float | None = None  # seconds of video a second


@dataclass(frozen=True)
class JobFailure:
    """Why a job failed, as the API says it."""

    message: str
    type: str = "internal"
    param: str | None = None
    code: str = "job_failed"


@dataclass(frozen=True)
class JobCrash:
    """A fault of ours in a job, for the log of the server."""

    traceback: str


Report = Callable[[JobStep], None]


def child(there: Connection, task: Callable[..., dict[str, Any]], arguments: tuple[Any, ...]) -> None:
    """A job's process: run the task and say how it ended. Other errors than the user's send a traceback.

    Ctrl-C in the terminal reaches the server, which decides; to be asked to stop, or to have lost the server, is a
    KeyboardInterrupt, so that what is half-written is taken away.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with suppress(OSError):
        give_way(RATHER_NOT)
    try:
        there.send(task(_reporter(there), *arguments))
    except PrvrError as error:
        there.send(JobFailure(str(error), "invalid_request"))
    except KeyboardInterrupt:
        raise SystemExit(1) from None
    except Exception as error:
        there.send(JobCrash(traceback.format_exc()))  # for the log of the server, whatever it is
        raise SystemExit(1) from error


def index_folder(
    report: Report,
    paths: Sequence[Path],
    folder: Path,
    encoder: str | None,
    device: str,
    prune: bool,
    tags: Sequence[str],
    retry: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Read folders, and failures again, into the index; what is read can be searched while the rest is.

    Then the words that the folders were indexed with: what is said in them, and what is written.
    """
    from prvr.search.keeping import read_into
    from prvr.search.wording import words_again

    done, calibrated = read_into(
        paths,
        folder,
        encoder=encoder,
        device=device,
        prune=prune,
        tags=tags,
        retry=retry,
        on_progress=lambda now: report(
            JobStep(
                done=now.done, total=now.total, unit="videos", current=now.current, speed=round(now.realtime, 2) or None
            )
        ),
    )
    read = done.extraction
    if paths and not read.video_ids:
        where, why = ", ".join(map(str, paths)), next(iter(read.failed.values()), "")
        raise VideoError(f"{where}: no video could be read there; {why or 'give a folder that holds video files'}")
    words = words_again(
        folder,
        paths,
        device=device,
        on_progress=lambda how, now: report(
            JobStep(done=now.done_s, total=now.total_s, unit=how, current=now.current, speed=round(now.realtime, 2))
        ),
    )
    return {
        "num_videos": done.num_videos,
        "made": len(read.made),
        "kept": len(read.kept),
        "removed": len(done.removed),
        "heard": words.heard,
        "read": words.read,
        "notes": [*done.spared, *done.notes, *words.notes],
        "problems": [{"file": file, "reason": why} for file, why in [*read.failed.items(), *words.failed.items()]],
        "calibrated": calibrated.enough,
    }


def bring_model(report: Report, name: str, path: Path | None) -> dict[str, Any]:
    """Fetch a known model, or copy one from a folder, and use it for what is read from now on.

    Stopped at any moment, what came is kept, and the next call goes on from there.
    """
    from prvr.encoders import catalogue

    def show(done: int, total: int) -> None:
        report(JobStep(done=done, total=total or None, unit="B", current=name))

    if path is not None:
        name = catalogue.import_folder(path).name
    else:
        catalogue.get(name, progress=show)
    return {"name": catalogue.set_default(name).name}


def proxy(report: Report, path: Path, out: Path, height: int, largest_copy: int, url: str) -> dict[str, Any]:
    """Make a video playable."""
    from prvr.video.proxy import make_proxy

    began = time.monotonic()

    def show(done_s: float, total_s: float) -> None:
        speed = round(done_s / max(time.monotonic() - began, 1e-3), 2)
        report(JobStep(done=done_s, total=total_s, unit="s", current=text_of(path.name), speed=speed))

    how = make_proxy(path, out, height=height, largest_copy=largest_copy, on_progress=show)
    return {"url": url, "how": how, "bytes": out.stat().st_size}


def cut_clips(
    report: Report, clips: Sequence[tuple[Path, float, float]], out: Path, form: str, url: str, name: str, fast: bool
) -> dict[str, Any]:
    """Clips as one .mp4 or .webm, several of them in a .zip, or one after another where `form` is that of a reel."""
    from prvr.video.clipping import save_clips
    from prvr.video.reel import save_reel

    def show(done: int) -> None:
        report(JobStep(done=done, total=len(clips), unit="clips", current=text_of(clips[done - 1][0].name)))

    if form.startswith(".reel"):
        save_reel(clips, out, fast=fast, on_progress=show)
    else:
        save_clips(clips, out, form, fast=fast, on_progress=show)
    return {"url": url, "name": name, "bytes": out.stat().st_size}


def _reporter(there: Connection) -> Report:
    """Says how far a job is, now and then; the last step is never left out."""
    last = 0.0

    def report(step: JobStep) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY_S or (step.total is not None and step.done >= step.total):
            last = now
            there.send(step)

    return report


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _die_with_parent() -> None:
    """Without a server nobody wants the work; a process that does not let itself be interrupted is ended."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        os._exit(1)
