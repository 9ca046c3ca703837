"""Files over HTTP: ranges, pictures, proxies, and what comes to harm meanwhile; from real servers."""

from __future__ import annotations

import os
import threading
import time
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from prvr.service.media import Media
from prvr.video.probe import probe
from tests.serve.conftest import Live, events, of, read, until
from tests.video.make import sampled, steps, write_video
from tests.video.test_thumbnail import clock


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
    assert (states["new.mkv"]["container"], states["plays.mp4"]["proxy_how"]) == ("Matroska", None)
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
    assert http.get(of(video_id)).json()["proxy_how"] == how
    in_seconds = "browsers play its h264, but not from Matroska" in refused.json()["error"]["message"]
    assert in_seconds == (how == "remuxed")
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


def test_transcripts(http: httpx.Client) -> None:
    """Subtitles are one; as files they are as long as broadcasters have them."""
    told = http.get(of("plays.mp4", "/transcript")).json()
    assert (told["source"], told["language"]) == ("subtitles", "")
    assert told["lines"] == [{"start": 1.0, "end": 2.0, "text": "hello"}]
    assert http.get(of("new.mkv", "/transcript")).json()["source"] == "none"
    srt = http.get(of("plays.mp4", "/transcript/srt"))
    assert srt.text == "1\n00:00:01,000 --> 00:00:02,000\nhello\n\n"
    assert srt.headers["content-disposition"] == "attachment; filename*=UTF-8''plays.srt"
    assert http.get(of("plays.mp4", "/transcript/vtt")).text == http.get(of("plays.mp4", "/subtitles")).text
    assert http.get(of("new.mkv", "/transcript/vtt")).json()["error"]["code"] == "no_subtitles"
    assert http.get(of("plays.mp4", "/transcript/doc")).status_code == 422


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


def test_a_file_is_deleted_damaged_and_replaced(served: tuple[Live, httpx.Client], harmed: Path) -> None:
    live, http = served
    assert http.get(of("deleted.mp4", "/stream")).status_code == 200
    (harmed / "deleted.mp4").unlink()
    for method, rest in (("get", "/stream"), ("get", "/thumb"), ("get", "/subtitles"), ("post", "/proxy")):
        gone = http.request(method, of("deleted.mp4", rest))
        assert (gone.status_code, gone.json()["error"]["code"]) == (410, "video_missing")
    cut = {"format": "mp4", "clips": [{"video_id": "deleted.mp4", "start": 0.0, "end": 0.5}]}
    assert http.post("/v1/exports", json=cut).status_code == 410
    assert http.post("/v1/exports", json={**cut, "format": "csv"}).status_code == 202  # what is known stays known
    assert http.get(of("deleted.mp4")).json()["state"] == "missing"
    (harmed / "damaged.mp4").write_bytes(b"damaged")
    for method, rest in (("get", "/stream"), ("get", "/thumb"), ("post", "/proxy")):
        bad = http.request(method, of("damaged.mp4", rest))
        assert (bad.status_code, bad.json()["error"]["code"]) == (422, "video_unreadable")
    write_video(harmed / "damaged.mp4", steps(3, 10), codec="mpeg4")
    assert http.get(of("damaged.mp4", "/stream")).json()["error"]["code"] == "needs_proxy"
    gone_too = not (harmed / "goes.mp4").exists()  # where the next test ran before this one
    assert read(harmed, live.desk.folder, prune=True)["removed"] == 1 + gone_too
    until(lambda: http.get(of("deleted.mp4")).status_code == 404)


def test_a_file_that_goes_while_it_is_played(http: httpx.Client, harmed: Path) -> None:
    size = (harmed / "goes.mp4").stat().st_size
    with http.stream("GET", of("goes.mp4", "/stream")) as answer:
        chunks = answer.iter_raw(1000)
        first = len(next(chunks))
        (harmed / "goes.mp4").unlink()
        assert first + sum(map(len, chunks)) == size  # what is open is played to its end
    with http.stream("GET", of("shrinks.mp4", "/stream")) as answer:
        chunks = answer.iter_raw(1000)
        next(chunks)
        os.truncate(harmed / "shrinks.mp4", 1_000_000)
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in chunks:
                pass
    assert http.get(of("goes.mp4", "/stream")).status_code == 410
    assert http.get("/healthz").status_code == 200


def test_other_work_goes_on_while_files_are_opened(
    client: TestClient, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that takes long to be opened holds nobody up: lists say `unknown`, searches are answered."""
    state = client.app.state.prvr  # type: ignore[attr-defined]
    media: Media = state.media
    blocked = threading.Event()
    held = media._prober.submit(blocked.wait, 120)
    media._known.clear()
    videos = client.get("/v1/videos").json()["data"]
    assert "unknown" in {one["state"] for one in videos}
    assert client.post("/v1/search", json={"query_text": "a red ball"}).status_code == 200
    assert not held.done()  # nobody waited for it
    blocked.set()
    until(lambda: {one["state"] for one in client.get("/v1/videos").json()["data"]} <= {"playable", "features_only"})
