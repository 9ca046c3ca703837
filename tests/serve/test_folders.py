"""Folders read by jobs while others search, and those that cannot be read."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from prvr.core.errors import VideoError
from prvr.service.jobs import Jobs
from prvr.service.sessions import digest_of
from tests.serve.conftest import asking, config_of, events, finished, of, read, serving, until


def test_folders_that_are_none(http: httpx.Client, own: Path, films: Path, tmp_path: Path) -> None:
    for path in ("relative", str(tmp_path / "nowhere"), "", "a\0b"):
        assert http.post("/v1/libraries", json={"path": path}).status_code == 422
    (tmp_path / "videos").mkdir()
    with pytest.raises(VideoError, match="videos: no video could be read there; give a folder that holds video files"):
        read(tmp_path / "videos", own)
    (tmp_path / "videos" / "junk.mp4").write_bytes(b"junk")
    with pytest.raises(VideoError, match=r"no video could be read there; .*junk\.mp4: is not a video"):
        read(tmp_path / "videos", own)
    shutil.copy(films / "plays.mp4", tmp_path / "videos")
    assert [Path(one["file"]).name for one in read(tmp_path / "videos", own)["problems"]] == ["junk.mp4"]


def test_others_than_this_machine_add_nothing(films: Path, tmp_path: Path) -> None:
    config = config_of(tmp_path, host="0.0.0.0", token=digest_of("a-token-of-length"))
    with asking(config) as other:
        headers = {"Authorization": "Bearer a-token-of-length"}
        refused = other.post("/v1/libraries", json={"path": str(films)}, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "loopback_only")
        assert other.get("/v1/jobs", headers=headers).json()["data"] == []


def test_searches_are_answered_while_a_folder_is_read(own: Path, world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    for number, file in enumerate(sorted((world / "videos").glob("*"))[:2] * 2):
        shutil.copy(file, folder / f"copy-{number:02}{file.suffix}")
    codes: list[int] = []
    stop = threading.Event()
    with serving(config_of(own)) as live, live.client() as client:
        before = client.get("/v1/libraries").json()["data"][0]["num_videos"]

        def search() -> None:
            with live.client() as mine:
                while not stop.is_set():
                    codes.append(mine.post("/v1/search", json={"query_text": f"a red ball {len(codes)}"}).status_code)
                    time.sleep(0.1)

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        job = client.post("/v1/libraries", json={"path": str(folder)}).json()
        assert client.get("/v1/libraries").json()["data"][0]["indexing"]["id"] == job["id"]
        refused = client.delete(of("copy-00.webm"))
        assert refused.status_code in (404, 409)
        seen = events(client, job)
        stop.set()
        for thread in threads:
            thread.join()
        assert seen[-1][1]["status"] == "done", seen[-1]
        assert seen[-1][1]["result"]["made"] == 4
        assert len(codes) > 3
        assert set(codes) == {200}
        until(lambda: client.get("/v1/libraries").json()["data"][0]["num_videos"] == before + 4)
        hits = client.post("/v1/search", json={"query_text": "path:copy- a ball", "page_limit": 100}).json()["data"]
        assert {hit["video_id"][:5] for hit in hits} == {"copy-"}
        name = hits[0]["video_id"]
        assert client.delete(of(name)).status_code == 204
        assert client.get(of(name)).status_code == 404
        assert (folder / name).exists()
        assert client.get("/v1/libraries").json()["data"][0]["num_videos"] == before + 3


def test_the_first_folder_of_all_in_spite_of_everything(world: Path, tmp_path: Path) -> None:
    """A worker is killed, the next one stopped, the third goes on from what they had finished."""
    folder = tmp_path / "many"
    folder.mkdir()
    videos = sorted((world / "videos").glob("*"))
    for number in range(5):
        shutil.copy(videos[number % len(videos)], folder / f"v{number:02}{videos[0].suffix}")
    with serving(config_of(tmp_path / "index")) as live, live.client() as client:
        assert client.get("/v1/libraries").json()["data"] == []
        assert client.get("/readyz").status_code == 503
        jobs: Jobs = live.app.state.prvr.jobs
        job = client.post("/v1/libraries", json={"path": str(folder)}).json()
        until(lambda: jobs.get(job["id"]).progress.done > 0)
        worker = jobs._processes[job["id"]].pid
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        failed = finished(client, job)
        assert failed["status"] == "failed"
        assert failed["error"]["code"] == "worker_killed"
        assert "what was finished stays" in failed["error"]["message"]
        job = client.post("/v1/libraries", json={"path": str(folder)}).json()
        until(lambda: jobs.get(job["id"]).progress.done > 0)
        client.delete(f"/v1/jobs/{job['id']}")
        assert finished(client, job)["status"] == "cancelled"
        assert not list((tmp_path / "index").rglob("*.tmp"))
        done = finished(client, client.post("/v1/libraries", json={"path": str(folder)}).json())
        assert done["result"]["kept"] > 0
        assert done["result"]["made"] + done["result"]["kept"] == 5
        until(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/v1/search", json={"query_text": "a red ball"}).json()["data"]
