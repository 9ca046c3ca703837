"""Files over HTTP: ranges, pictures, proxies, exports, folders read while others search; from real servers."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import os
import re
import shutil
import signal
import socket
import struct
import threading
import time
import zipfile
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.testclient import TestClient

from prvr.core.errors import VideoError
from prvr.serve import libraries, work
from prvr.serve.jobs import Job, Jobs
from prvr.serve.media import Media
from prvr.serve.security import digest_of
from prvr.serve.work import Step
from prvr.video.probe import probe
from tests.serve import tasks
from tests.serve.conftest import Live, asking, config_of, serving, until
from tests.video.make import sampled, steps, write_video
from tests.video.test_thumbnail import clock


def of(video_id: str, rest: str = "") -> str:
    return f"/v1/videos/{quote(video_id, safe='')}{rest}"


def finished(client: Any, job: dict[str, Any]) -> dict[str, Any]:
    def look() -> bool:
        nonlocal job
        job = client.get(job["url"]).json()
        return job["status"] not in ("queued", "running")

    until(look, seconds=60)
    return job


def events(client: httpx.Client, job: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All of a job's events, as a browser reads them."""
    with client.stream("GET", job["events_url"], timeout=60) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    found = re.findall(r"^event: (\w+)\ndata: (.*)\n\n", text, re.MULTILINE)
    return [(name, json.loads(data)) for name, data in found]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that browsers play, that they do not play, and that will come to harm."""
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "plays.mp4", steps(6, 10), sound=True)
    write_video(folder / "old film.avi", steps(6, 10), codec="mpeg4")
    write_video(folder / "new.mkv", steps(6, 10), codec="libx265", options={"x265-params": "log-level=none"})
    write_video(folder / "box.mkv", steps(6, 10), sound="ac3")
    (folder / "plays.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n")
    for name in ("deleted.mp4", "damaged.mp4"):
        write_video(folder / name, steps(1, 10))
    for name in ("large.mp4", "goes.mp4", "shrinks.mp4"):
        write_video(folder / name, steps(1, 10))
        with (folder / name).open("ab") as file:
            file.write(bytes(20_000_000))
    return folder


def read(folder: Path, index: Path, *, prune: bool = False) -> dict[str, Any]:
    """As a job does it, but in this process."""
    seen: list[Step] = []
    found = work.index_folder(seen.append, [folder], index, None, "cpu", prune, ["films"])
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    return found


@pytest.fixture(scope="module")
def served(library: Path, films: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, httpx.Client]]:
    """A server whose library has the films."""
    folder = Path(shutil.copytree(library, tmp_path_factory.mktemp("own") / "library"))
    assert read(films, folder)["made"] == 9
    with serving(config_of(folder)) as live, httpx.Client(base_url=live.url, timeout=30) as client:
        yield live, client


@pytest.fixture
def http(served: tuple[Live, httpx.Client]) -> httpx.Client:
    return served[1]


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        (None, 200, (0, None)),
        ("bytes=0-", 206, (0, None)),
        ("bytes=0-0", 206, (0, 1)),
        ("bytes=100-199", 206, (100, 200)),
        ("bytes=100-99999999999", 206, (100, None)),
        ("bytes=-100", 206, (-100, None)),
        ("bytes=-99999999999", 206, (0, None)),
        ("bytes=99999999999-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=0-1,99999999999-", 416, None),
        ("bytes=5-2", 200, (0, None)),
        ("bytes=", 200, (0, None)),
        ("bytes=-", 200, (0, None)),
        ("bytes=a-b", 200, (0, None)),
        ("bytes=1-2-3", 200, (0, None)),
        ("bytes=٣-٤", 200, (0, None)),
        ("chapters=1-2", 200, (0, None)),
        ("bytes", 200, (0, None)),
        ("bytes=" + "9" * 5000 + "-", 200, (0, None)),
        ("bytes=" + ",".join(["0-1"] * 50), 200, (0, None)),
        ("bytes=0x1-0x2", 200, (0, None)),
        ("bytes=+1-+2", 200, (0, None)),
    ],
)
def test_ranges(
    http: httpx.Client, films: Path, asked: str | None, status: int, span: tuple[int, int | None] | None
) -> None:
    whole = (films / "plays.mp4").read_bytes()
    headers = [(b"Range", asked.encode())] if asked else []
    answer = http.get(of("plays.mp4", "/stream"), headers=headers)
    assert answer.status_code == status
    if span is None:
        assert answer.headers["content-range"] == f"bytes */{len(whole)}"
        assert answer.json()["error"]["code"] == "range_outside"
        return
    assert answer.content == whole[span[0] : span[1]]
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == 'inline; filename="plays.mp4"'
    if status == 206:
        first = span[0] % len(whole)
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(whole)}"
    head = http.head(of("plays.mp4", "/stream"), headers=headers)
    assert head.status_code == status
    assert head.headers["content-length"] == str(len(answer.content))
    assert head.content == b""


def test_several_ranges_in_one(http: httpx.Client, films: Path) -> None:
    whole = (films / "plays.mp4").read_bytes()
    answer = http.get(of("plays.mp4", "/stream"), headers={"Range": "bytes=0-9,20-29,-5"})
    assert answer.status_code == 206
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    parts = answer.content.split(b"--" + boundary.encode())[1:-1]
    assert [part.partition(b"\r\n\r\n")[2][:-2] for part in parts] == [whole[:10], whole[20:30], whole[-5:]]


def test_what_the_client_has_is_not_sent_again(http: httpx.Client) -> None:
    path = of("plays.mp4", "/stream")
    first = http.get(path)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    assert first.headers["cache-control"] == "private, no-cache"
    later = formatdate(time.time() + 99, usegmt=True)
    for headers in (
        {"If-None-Match": etag},
        {"If-None-Match": f'"x", W/{etag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": modified},
        {"If-Modified-Since": later},
    ):
        answer = http.get(path, headers=headers)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    for headers in (
        {"If-None-Match": '"x"'},
        {"If-None-Match": '"x"', "If-Modified-Since": later},
        {"If-Modified-Since": "yesterday"},
        {"If-Modified-Since": formatdate(0, usegmt=True)},
    ):
        assert http.get(path, headers=headers).status_code == 200
    for condition, status in ((etag, 206), (modified, 206), ('"x"', 200), (formatdate(0, usegmt=True), 200)):
        assert http.get(path, headers={"Range": "bytes=0-9", "If-Range": condition}).status_code == status


def test_states_and_shapes(http: httpx.Client) -> None:
    states = {name: http.get(of(name)).json() for name in ("plays.mp4", "old film.avi", "new.mkv")}
    assert [one["state"] for one in states.values()][:1] == ["playable"]
    assert {one["state"] for one in states.values()} <= {"playable", "needs_proxy", "proxy"}
    assert states["new.mkv"]["codec"] == "hevc"
    assert (states["plays.mp4"]["width"], states["plays.mp4"]["height"]) == (160, 48)
    assert states["plays.mp4"]["subtitles_url"] == of("plays.mp4", "/subtitles")
    assert states["new.mkv"]["subtitles_url"] is None


@pytest.mark.parametrize(
    ("video_id", "how"), [("old film.avi", "transcoded"), ("new.mkv", "transcoded"), ("box.mkv", "remuxed")]
)
def test_a_proxy_is_made_and_plays(http: httpx.Client, tmp_path: Path, video_id: str, how: str) -> None:
    refused = http.get(of(video_id, "/stream"))
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "needs_proxy"
    first, second = (http.post(of(video_id, "/proxy")) for _ in range(2))
    assert first.status_code == second.status_code == 202
    assert first.json()["id"] == second.json()["id"]
    seen = events(http, first.json())
    assert seen[-1][0] == "end"
    assert {name for name, _ in seen[:-1]} <= {"progress"}
    job = seen[-1][1]
    assert job["status"] == "done"
    assert job["kind"] == "proxy"
    assert job["result"]["how"] == how
    assert job["progress"]["unit"] == "s"
    assert job["progress"]["done"] == pytest.approx(6, abs=0.35)
    played = http.get(job["result"]["url"], headers={"Range": "bytes=0-"})
    assert played.status_code == 206
    assert played.headers["content-type"] == "video/mp4"
    (tmp_path / "proxy.mp4").write_bytes(played.content)
    assert probe(tmp_path / "proxy.mp4").browser_playable
    times, drawn = sampled(tmp_path / "proxy.mp4", rate=2)
    assert drawn == pytest.approx(times, abs=0.02)
    assert http.get(of(video_id)).json()["state"] == "proxy"
    again = http.post(of(video_id, "/proxy"))
    assert (again.status_code, again.json()["status"]) == (200, "done")


def test_a_video_that_plays_needs_no_proxy(http: httpx.Client) -> None:
    answer = http.post(of("plays.mp4", "/proxy"))
    assert (answer.status_code, answer.json()["result"]["how"]) == (200, "there")


def test_pictures(http: httpx.Client) -> None:
    answer = http.get(of("old film.avi", "/thumb"), params={"t": 3.14, "width": 160})
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert clock(answer.content) == 3.1
    etag = answer.headers["etag"]
    assert http.get(answer.url, headers={"If-None-Match": etag}).status_code == 304
    listed = http.get(of("old film.avi")).json()["thumbnail_url"]
    kept = http.get(listed)
    assert kept.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert clock(kept.content) == 3.0
    stale = http.get(listed.partition("&v=")[0] + "&v=0123456789")
    assert stale.headers["cache-control"] == "private, no-cache"
    for wrong in ({"t": -1}, {"t": "nan"}, {"t": "inf"}, {"t": "x"}, {"width": 63}, {"width": 1281}, {"width": "a"}):
        refused = http.get(of("old film.avi", "/thumb"), params=wrong)
        assert refused.status_code == 422
        assert refused.json()["error"]["param"] == next(iter(wrong))
    assert http.get(of("old film.avi", "/thumb"), params={"t": 99}).status_code == 200


def test_subtitles(http: httpx.Client) -> None:
    answer = http.get(of("plays.mp4", "/subtitles"))
    assert answer.headers["content-type"] == "text/vtt; charset=utf-8"
    assert answer.text == "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nhello\n"
    assert http.get(of("new.mkv", "/subtitles")).json()["error"]["code"] == "no_subtitles"


def test_what_is_not_there(http: httpx.Client, library: Path) -> None:
    feature_only = next(
        one["id"] for one in http.get("/v1/videos?limit=100").json()["data"] if one["state"] == "features_only"
    )
    for rest in ("/stream", "/thumb", "/subtitles"):
        for video_id, code in (
            (feature_only, "features_only"),
            ("nowhere.mp4", "video_unknown"),
            ("../x", "video_unknown"),
        ):
            refused = http.get(of(video_id, rest))
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, code)
    for address in ("/v1/jobs/x", "/v1/jobs/x/events", f"/v1/exports/{'0' * 32}/file"):
        assert http.get(address).status_code == 404
    for wrong in ("x", "0" * 31, "..%2f..%2fx", "0" * 31 + "%2f"):
        assert http.get(f"/v1/exports/{wrong}/file").status_code in (404, 422)
    assert http.delete("/v1/jobs/x").json()["error"]["code"] == "job_unknown"


def test_a_file_is_deleted_damaged_and_replaced(served: tuple[Live, httpx.Client], films: Path) -> None:
    live, http = served
    assert http.get(of("deleted.mp4", "/stream")).status_code == 200
    (films / "deleted.mp4").unlink()
    for method, rest in (("get", "/stream"), ("get", "/thumb"), ("get", "/subtitles"), ("post", "/proxy")):
        gone = http.request(method, of("deleted.mp4", rest))
        assert (gone.status_code, gone.json()["error"]["code"]) == (410, "video_missing")
    cut = {"format": "mp4", "clips": [{"video_id": "deleted.mp4", "start": 0.0, "end": 0.5}]}
    assert http.post("/v1/exports", json=cut).status_code == 410
    assert http.post("/v1/exports", json={**cut, "format": "csv"}).status_code == 202  # what is known stays known
    assert http.get(of("deleted.mp4")).json()["state"] == "missing"
    (films / "damaged.mp4").write_bytes(b"damaged")
    for method, rest in (("get", "/stream"), ("get", "/thumb"), ("post", "/proxy")):
        bad = http.request(method, of("damaged.mp4", rest))
        assert (bad.status_code, bad.json()["error"]["code"]) == (422, "video_unreadable")
    write_video(films / "damaged.mp4", steps(3, 10), codec="mpeg4")
    assert http.get(of("damaged.mp4", "/stream")).json()["error"]["code"] == "needs_proxy"
    assert read(films, live.desk.folder, prune=True)["removed"] == 1
    until(lambda: http.get(of("deleted.mp4")).status_code == 404)


def test_tables_lists_and_chapters(http: httpx.Client) -> None:
    clips = [
        {"video_id": "plays.mp4", "start": 1.0, "end": 2.0, "score": 0.5, "confidence": "related"},
        {"video_id": "old film.avi", "start": 0.5, "end": 1.0},
        {"video_id": "plays.mp4", "start": 4.0, "end": 5.5},
    ]
    texts = {}
    for kind in ("csv", "json", "edl", "otio", "vtt"):
        asked = {"format": kind, "query": "A dog, then <a> cat/..", "clips": clips, "before_s": 0.5}
        if kind == "vtt":
            refused = http.post("/v1/exports", json=asked)
            assert refused.status_code == 400
            assert "of one video" in refused.json()["error"]["message"]
            asked["clips"] = [clips[0], clips[2]]
        answer = http.post("/v1/exports", json=asked)
        assert answer.status_code == 202
        job = answer.json()
        assert (job["kind"], job["status"]) == ("export", "done")
        assert job["result"]["name"] == f"a-dog-then-a-cat.{kind}"
        file = http.get(job["result"]["url"])
        assert file.headers["content-disposition"] == f'attachment; filename="a-dog-then-a-cat.{kind}"'
        assert len(file.content) == job["result"]["bytes"]
        texts[kind] = file.text
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert [(row["rank"], row["moment"], row["video"], row["start_s"]) for row in rows] == [
        ("1", "1", "plays.mp4", "0.5"),
        ("1", "2", "plays.mp4", "3.5"),
        ("2", "1", "old film.avi", "0.0"),
    ]
    assert rows[0]["confidence"] == "related"
    assert [clip["video"] for clip in json.loads(texts["json"])["clips"]] == ["plays.mp4", "plays.mp4", "old film.avi"]
    assert re.findall(r"FROM CLIP NAME: (.*)", texts["edl"]) == ["plays.mp4", "old film.avi", "plays.mp4"]
    assert len(json.loads(texts["otio"])["tracks"]["children"][0]["children"]) == 3
    assert texts["vtt"].count("-->") == 2


def test_films(http: httpx.Client, tmp_path: Path) -> None:
    clips = [
        {"video_id": "plays.mp4", "start": 1.0, "end": 3.0},
        {"video_id": "old film.avi", "start": 0.5, "end": 1.5},
    ]
    one = http.post("/v1/exports", json={"format": "mp4", "query": "Ein Hündchen", "clips": clips[:1], "after_s": 1})
    two = http.post("/v1/exports", json={"format": "webm", "clips": clips})
    job = finished(http, one.json())
    assert job["status"] == "done"
    assert job["result"]["name"] == "ein-hündchen.mp4"
    file = http.get(job["result"]["url"], headers={"Range": "bytes=0-"})
    assert file.headers["content-type"] == "video/mp4"
    assert file.headers["content-disposition"] == f"attachment; filename*=utf-8''{quote('ein-hündchen.mp4')}"
    (tmp_path / "one.mp4").write_bytes(file.content)
    assert probe(tmp_path / "one.mp4").duration_s == pytest.approx(3, abs=0.11)
    assert sampled(tmp_path / "one.mp4")[1][0] == 1.0
    job = finished(http, two.json())
    assert job["progress"]["done"] == job["progress"]["total"] == 2
    with zipfile.ZipFile(io.BytesIO(http.get(job["result"]["url"]).content)) as both:
        assert both.namelist() == ["001 plays 1.0-3.0.webm", "002 old film 0.5-1.5.webm"]
        for name, length in zip(both.namelist(), (2, 1), strict=True):
            assert probe(Path(both.extract(name, tmp_path))).duration_s == pytest.approx(length, abs=0.11)


def test_exports_that_make_no_sense(http: httpx.Client) -> None:
    good = {"video_id": "plays.mp4", "start": 1.0, "end": 2.0}
    for changes, status in (
        ({"format": "gif"}, 422),
        ({"clips": []}, 422),
        ({"clips": [good] * 201}, 422),
        ({"clips": [{**good, "start": -1}]}, 422),
        ({"clips": [{**good, "end": 1e99}]}, 422),
        ({"clips": [{**good, "path": "/etc/passwd"}]}, 422),
        ({"clips": [{**good, "end": 0.5}]}, 400),
        ({"clips": [{**good, "start": 50, "end": 60}]}, 400),
        ({"clips": [{**good, "video_id": "/etc/passwd"}]}, 404),
        ({"before_s": -0.6, "after_s": -0.6}, 400),
    ):
        answer = http.post("/v1/exports", json={"format": "csv", "clips": [good], **changes})
        assert answer.status_code == status, (changes, answer.text)
        assert answer.json()["error"]["message"]


def test_a_key_that_comes_twice(http: httpx.Client) -> None:
    asked = {"format": "csv", "clips": [{"video_id": "plays.mp4", "start": 1.0, "end": 2.0}]}
    key = {"Idempotency-Key": "once"}
    first, second = (http.post("/v1/exports", json=asked, headers=key).json() for _ in range(2))
    assert first == second
    other = http.post("/v1/exports", json={**asked, "format": "json"}, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "key_reused")


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
    for number, file in enumerate(sorted((world / "videos").glob("*"))[:8] * 2):
        shutil.copy(file, folder / f"copy-{number:02}{file.suffix}")
    codes: list[int] = []
    stop = threading.Event()
    with serving(config_of(own)) as live, httpx.Client(base_url=live.url, timeout=30) as client:
        before = client.get("/v1/libraries").json()["data"][0]["num_videos"]

        def search() -> None:
            with httpx.Client(base_url=live.url, timeout=30) as mine:
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
        assert seen[-1][1]["result"]["made"] == 16
        assert len(codes) > 3
        assert set(codes) == {200}
        until(lambda: client.get("/v1/libraries").json()["data"][0]["num_videos"] == before + 16)
        hits = client.post("/v1/search", json={"query_text": "path:copy- a ball", "page_limit": 100}).json()["data"]
        assert {hit["video_id"][:5] for hit in hits} == {"copy-"}
        name = hits[0]["video_id"]
        assert client.delete(of(name)).status_code == 204
        assert client.get(of(name)).status_code == 404
        assert (folder / name).exists()
        assert client.get("/v1/libraries").json()["data"][0]["num_videos"] == before + 15


def test_the_first_folder_of_all_in_spite_of_everything(world: Path, tmp_path: Path) -> None:
    """A worker is killed, the next one stopped, the third goes on from what they had finished."""
    folder = tmp_path / "many"
    folder.mkdir()
    videos = sorted((world / "videos").glob("*"))
    for number in range(20):
        shutil.copy(videos[number % len(videos)], folder / f"v{number:02}{videos[0].suffix}")
    with serving(config_of(tmp_path / "index")) as live, httpx.Client(base_url=live.url, timeout=30) as client:
        assert client.get("/v1/libraries").json()["data"] == []
        assert client.get("/readyz").status_code == 503
        jobs: Jobs = live.app.state.prvr.jobs
        job = client.post("/v1/libraries", json={"path": str(folder)}).json()
        until(lambda: jobs.get(job["id"]).progress.done > 0, seconds=60)
        worker = jobs._processes[job["id"]].pid
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        failed = finished(client, job)
        assert failed["status"] == "failed"
        assert failed["error"]["code"] == "worker_killed"
        assert "what was finished stays" in failed["error"]["message"]
        job = client.post("/v1/libraries", json={"path": str(folder)}).json()
        until(lambda: jobs.get(job["id"]).progress.done > 0, seconds=60)
        client.delete(f"/v1/jobs/{job['id']}")
        assert finished(client, job)["status"] == "cancelled"
        assert not list((tmp_path / "index").rglob("*.tmp"))
        done = finished(client, client.post("/v1/libraries", json={"path": str(folder)}).json())
        assert done["result"]["kept"] > 0
        assert done["result"]["made"] + done["result"]["kept"] == 20
        until(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/v1/search", json={"query_text": "a red ball"}).json()["data"]


def is_open(name: str) -> bool:
    """Whether this process, and with it the server, holds a file open, where the machine says so."""
    found = []
    for path in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):  # one of those that look
            found.append(path.readlink().name)
    return name in found


@contextlib.contextmanager
def waiting_job(live: Live, marker: Path) -> Iterator[Job]:
    """A job that waits for a file, which comes in the end."""
    jobs: Jobs = live.app.state.prvr.jobs
    job = jobs.start("proxy", tasks.wait_for, marker)
    try:
        yield job
    finally:
        marker.touch()
        until(lambda: jobs.get(job.id).ended)


def hang_up(live: Live, request: str, *, read: int) -> None:
    """A client that sends a request, reads a little and goes without a word (RST)."""
    with socket.create_connection(("127.0.0.1", live.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(f"{request} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert client.recv(read)


def test_clients_that_go_in_the_middle(
    served: tuple[Live, httpx.Client],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    live, client = served
    jobs: Jobs = live.app.state.prvr.jobs
    assert client.get(of("large.mp4", "/stream"), headers={"Range": "bytes=0-0"}).status_code == 206
    with waiting_job(live, tmp_path / "go") as waiting:
        for _ in range(2):  # once for the threads that come with use
            before = threading.active_count()
            for _ in range(5):
                hang_up(live, f"GET {of('large.mp4', '/stream')}", read=1000)
                hang_up(live, f"GET /v1/jobs/{waiting.id}/events", read=100)
                hang_up(live, f"GET {of('plays.mp4', '/thumb?t=2')}", read=1)
            until(lambda: not jobs._watchers.get(waiting.id))
            until(lambda: not is_open("large.mp4"))
        assert threading.active_count() <= before + 1
    assert client.get(of("plays.mp4", "/stream")).status_code == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "Traceback" not in capfd.readouterr().err


def test_a_file_that_goes_while_it_is_played(http: httpx.Client, films: Path) -> None:
    size = (films / "goes.mp4").stat().st_size
    with http.stream("GET", of("goes.mp4", "/stream")) as answer:
        chunks = answer.iter_raw(1000)
        first = len(next(chunks))
        (films / "goes.mp4").unlink()
        assert first + sum(map(len, chunks)) == size  # what is open is played to its end
    with http.stream("GET", of("shrinks.mp4", "/stream")) as answer:
        chunks = answer.iter_raw(1000)
        next(chunks)
        os.truncate(films / "shrinks.mp4", 1_000_000)
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in chunks:
                pass
    assert http.get(of("goes.mp4", "/stream")).status_code == 410
    assert http.get("/healthz").status_code == 200


def test_events_of_a_job_that_nothing_happens_in(
    served: tuple[Live, httpx.Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, client = served
    monkeypatch.setattr(libraries, "HEARTBEAT_S", 0.1)
    with (
        waiting_job(live, tmp_path / "go") as job,
        client.stream("GET", f"/v1/jobs/{job.id}/events") as answer,
    ):
        lines = answer.iter_lines()
        until(lambda: next(lines).startswith(":"))
        (tmp_path / "go").touch()
        assert "event: end" in list(lines)


def test_other_work_goes_on_while_files_are_opened(
    client: TestClient, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that takes long to be opened holds nobody up: lists say `unknown`, searches are answered."""
    state = client.app.state.prvr  # type: ignore[attr-defined]
    media: Media = state.media
    blocked = threading.Event()
    media._prober.submit(blocked.wait, 20)
    media._known.clear()
    began = time.monotonic()
    videos = client.get("/v1/videos").json()["data"]
    assert "unknown" in {one["state"] for one in videos}
    assert client.post("/v1/search", json={"query_text": "a red ball"}).status_code == 200
    assert time.monotonic() - began < 5
    blocked.set()
    until(lambda: {one["state"] for one in client.get("/v1/videos").json()["data"]} <= {"playable", "features_only"})
