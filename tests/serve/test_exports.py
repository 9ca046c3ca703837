"""Exports over HTTP: tables, lists, chapters, films, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from prvr.video.probe import probe
from tests.serve.conftest import finished
from tests.video.make import sampled


def test_tables_lists_and_chapters(http: httpx.Client) -> None:
    clips = [
        {"video_id": "plays.mp4", "start": 1.0, "end": 2.0, "score": 0.5, "confidence": "related"},
        {"video_id": "old film.avi", "start": 0.5, "end": 1.0},
        {"video_id": "plays.mp4", "start": 4.0, "end": 5.5},
    ]
    texts = {}
    for kind in ("csv", "json", "edl", "otio", "fcpxml", "xml", "markers.otio", "markers.edl", "vtt"):
        asked = {"format": kind, "query": "A dog, then <a> cat/..", "clips": clips, "before_s": 0.5}
        if kind in ("vtt", "markers.edl"):
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
    assert texts["vtt"].count("-->") == texts["markers.edl"].count("|M:A dog, then <a> cat/..") == 2
    assert [texts[kind].count("<asset-clip ") + texts[kind].count("<sourcetrack>") for kind in ("fcpxml", "xml")] == [
        3,
        2,
    ]
    whole = json.loads(texts["markers.otio"])["tracks"]["children"][0]["children"]
    assert [(clip["name"], len(clip["markers"])) for clip in whole] == [("plays.mp4", 2), ("old film.avi", 1)]


def test_films(http: httpx.Client, tmp_path: Path) -> None:
    clips = [
        {"video_id": "plays.mp4", "start": 1.0, "end": 3.0},
        {"video_id": "old film.avi", "start": 0.5, "end": 1.5},
    ]
    one = http.post("/v1/exports", json={"format": "mp4", "query": "Ein Hündchen", "clips": clips[:1], "after_s": 1})
    two = http.post("/v1/exports", json={"format": "webm", "clips": clips})
    reel = http.post("/v1/exports", json={"format": "reel.mp4", "query": "Both!", "clips": clips})
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
    job = finished(http, reel.json())
    assert (job["result"]["name"], job["progress"]["done"], job["progress"]["total"]) == ("both.reel.mp4", 2, 2)
    (tmp_path / "reel.mp4").write_bytes(http.get(job["result"]["url"]).content)
    assert probe(tmp_path / "reel.mp4").duration_s == pytest.approx(3, abs=0.11)


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
