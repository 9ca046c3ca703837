"""Tasks for the processes of jobs: some that work, some that do not."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from prvr.core.errors import VideoError
from prvr.service.work import JobStep, Report


def count(report: Report, most: int, pause_s: float) -> dict[str, Any]:
    for done in range(1, most + 1):
        time.sleep(pause_s)
        report(JobStep(done=done, total=most, unit="steps", current=f"step {done}", speed=2.0))
    return {"counted": most, "pid": os.getpid(), "niceness": os.nice(0)}


def wait_for(report: Report, marker: Path) -> dict[str, Any]:
    """Says its process id, then waits for a file."""
    report(JobStep(done=0, total=1, current=str(os.getpid())))
    while not marker.exists():
        time.sleep(0.01)
    return {}


def tidy_up(report: Report, half_written: Path) -> dict[str, Any]:
    """Takes away what it began when it is stopped."""
    try:
        half_written.write_text("half")
        return wait_for(report, half_written.with_name("never"))
    finally:
        half_written.unlink()


def stubborn(report: Report) -> dict[str, Any]:
    """Does not let itself be stopped."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return wait_for(report, Path("/nowhere/never"))


def refuse(report: Report) -> dict[str, Any]:
    raise VideoError("a.mp4: is not a video; leave it out")


def crash(report: Report) -> dict[str, Any]:
    return {"never": 1 // 0}


def fall_dead(report: Report) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def return_the_unsendable(report: Report) -> dict[str, Any]:
    return {"lambda": lambda: None}
