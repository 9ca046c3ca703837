"""What leads where, as OpenAPI says it: which part of an answer names what another route takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

JOBS = ("one_job", "job_events", "cancel_job", "resume_job")
VIDEOS = ("video", "stream", "thumb", "subtitles", "scores", "why", "make_proxy", "remove")


def _to(names: Sequence[str], param: str, at: str) -> dict[str, dict[str, Any]]:
    """The same part of an answer for all of some routes."""
    return {name: {"operationId": name, "parameters": {param: f"$response.body#{at}"}} for name in names}


JOB = _to(JOBS, "job_id", "/id")
HIT = _to(VIDEOS, "video_id", "/data/0/video_id")
LINKS = {  # by the route that answers
    "add_folder": JOB,
    "retry": JOB,
    "bring_model": JOB,
    "make_proxy": JOB,
    "make_export": JOB,
    "resume_job": JOB,
    "one_job": JOB,
    "list_jobs": _to(JOBS, "job_id", "/data/0/id"),
    "videos": _to(VIDEOS, "video_id", "/data/0/id"),
    "search": HIT,
    "search_simply": HIT,
    "search_image": HIT,
    "saved": _to(("new_hits", "forget_search"), "search_id", "/data/0/id"),
    "keep_search": _to(("new_hits", "forget_search"), "search_id", "/id"),
    "new_hits": HIT,
    "folders": _to(("watch", "remove_folder"), "folder_id", "/data/0/id"),
    "failures": _to(("ignore",), "failure_id", "/data/0/id"),
}


def link(schema: dict[str, Any]) -> None:
    """Add them to a schema, to every answer that is one."""
    for operations in schema["paths"].values():
        for one in operations.values():
            for status, response in one["responses"].items():
                if status in ("200", "201", "202") and one["operationId"] in LINKS:
                    response["links"] = LINKS[one["operationId"]]
