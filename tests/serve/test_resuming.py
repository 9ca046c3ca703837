"""What the end of a server broke off is known to the next one, and goes on when somebody asks for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from prvr.service.keyring import Keyring
from prvr.service.unfinished import Unfinished, keep_jobs
from tests.serve.conftest import asking, config_of, finished
from tests.serve.test_api_errors import check
from tests.service import tasks


@pytest.fixture
def place(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that keeps what has not ended."""
    monkeypatch.setenv("PRVR_DATA", str(tmp_path / "data"))
    return Keyring(own).unfinished


def broken_off(client: TestClient) -> list[dict[str, object]]:
    return [job for job in client.get("/v1/jobs").json()["data"] if job["status"] == "interrupted"]


def test_what_was_broken_off_is_named_and_goes_on(own: Path, films: Path, tmp_path: Path, place: Path) -> None:
    trip = tmp_path / "trip"
    trip.mkdir()
    shutil.copy(films / "plays.mp4", trip)
    config = config_of(own, keyring=place.parent)
    with asking(config) as client:
        jobs = client.app.state.prvr.jobs  # type: ignore[attr-defined]
        jobs.start("index", tasks.wait_for, tmp_path / "never")  # so that the next one waits
        asked = client.post("/v1/libraries", json={"path": str(trip), "tags": ["trip"]}).json()
        dropped = client.post("/v1/libraries", json={"path": str(tmp_path)}).json()
        client.delete(dropped["url"])
        assert client.get("/v1/libraries").json()["indexing"]["status"] == "running"
    assert place.stat().st_mode & 0o077 == 0
    with asking(config) as client:
        (job,) = broken_off(client)
        assert (job["id"], job["kind"], job["about"]) == (asked["id"], "index", "trip")
        assert client.get("/v1/libraries").json()["indexing"] == job
        assert client.delete(f"/v1/folders/{'0' * 12}").status_code == 404, "nothing runs that would be in the way"
        again = client.post(f"{job['url']}/resume")
        assert again.status_code == 202
        done = finished(client, again.json())
        assert (done["status"], done["result"]["made"]) == ("done", 1)
        assert client.get("/v1/videos/plays.mp4").json()["tags"] == ["trip"]
        assert broken_off(client) == []
        check(client.post(f"{done['url']}/resume"), 409, "not_interrupted")
        check(client.post("/v1/jobs/none/resume"), 404, "job_unknown")
    with asking(config) as client:
        assert client.get("/v1/jobs").json()["data"] == []


def test_nobody_has_to_go_on(own: Path, place: Path) -> None:
    asked = {"route": "proxy", "asked": {"video_id": "w0000.webm"}}
    keep_jobs(place, [Unfinished("0" * 32, "proxy", "w0000.webm", 0.0, asked)])
    with asking(config_of(own, keyring=place.parent)) as client:
        assert client.delete(f"/v1/jobs/{'0' * 32}").json()["status"] == "cancelled"
    assert json.loads(place.read_text()) == []


WRONG = [
    ({"route": "libraries", "asked": {"path": "/etc"}}, 403, "folder_outside"),
    ({"route": "libraries", "asked": {"path": "relative"}}, 422, "video_unreadable"),
    ({"route": "libraries", "asked": {"path": 1}}, 409, "not_interrupted"),
    ({"route": "proxy", "asked": {"video_id": "../../etc/passwd"}}, 404, "video_unknown"),
    ({"route": "os.system", "asked": "true"}, 409, "not_interrupted"),
    ({"asked": []}, 409, "not_interrupted"),
]


@pytest.mark.parametrize(("asked", "status", "code"), WRONG)
def test_what_was_kept_is_judged_as_if_it_was_asked_now(
    own: Path, place: Path, asked: dict[str, object], status: int, code: str
) -> None:
    keep_jobs(place, [Unfinished("a" * 32, "index", "x", 0.0, asked)])
    with asking(config_of(own, keyring=place.parent, roots=(own,))) as client:
        answer = client.post(f"/v1/jobs/{'a' * 32}/resume")
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert len(broken_off(client)) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[1]", "{}", "null", '[{"id": "x"}]', "[" * 50_000),
        '[{"id": "../x", "kind": "index", "about": "", "created_at": 0, "asked": {}}]',
        '[{"id": "' + "a" * 32 + '", "kind": "os", "about": "", "created_at": 0, "asked": {}}]',
    ],
)
def test_a_file_that_says_something_else_is_passed_over(own: Path, place: Path, text: str) -> None:
    place.parent.mkdir(parents=True)
    place.write_text(text)
    with asking(config_of(own, keyring=place.parent)) as client:
        assert client.get("/v1/jobs").json()["data"] == []
