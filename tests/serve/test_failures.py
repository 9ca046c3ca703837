"""What could not be read, over the API: listed, tried again, ignored, taken along as a table."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from prvr.core.errors import IndexFolderError
from prvr.core.files import only_writer
from prvr.encoders.world import load_world_encoder
from prvr.search.indexing import build_index
from prvr.service.sessions import digest_of
from tests.serve.conftest import asking, config_of, finished, until
from tests.serve.test_api_errors import check
from tests.serve.test_api_security import TOKEN, with_token


@pytest.fixture
def spoilt(own: Path) -> Path:
    """The library with two files that are no videos, one of them in a folder of its own."""
    (own / "videos" / "deep").mkdir()
    (own / "videos" / "deep" / "cut.mp4").write_bytes(b"cut off")
    (own / "videos" / "junk.mp4").write_bytes(b"junk")
    assert len(build_index([own / "videos"], own, load_world_encoder()).extraction.failed) == 2
    return own


def listed(client: TestClient) -> dict[str, Any]:
    """Name -> failure."""
    return {Path(one["file"]).name: one for one in client.get("/v1/failures").json()["data"]}


def test_failures_are_listed_tried_again_and_ignored(spoilt: Path) -> None:
    with asking(config_of(spoilt)) as client:
        assert client.get("/v1/libraries").json()["num_failures"] == 2
        cut, junk = client.get("/v1/failures").json()["data"]
        assert cut["file"] == str(spoilt / "videos" / "deep" / "cut.mp4")
        assert (junk["stage"], junk["reason"].partition(" (")[0]) == ("open", "is not a video that FFmpeg can read")
        first = client.get("/v1/failures?limit=1").json()
        second = client.get("/v1/failures", params={"limit": 1, "page_token": first["next_page_token"]}).json()
        assert (first["data"], second["data"], second["has_more"]) == ([cut], [junk], False)

        shutil.copy(spoilt / "videos" / "w0001.webm", cut["file"])
        job = client.post("/v1/failures", json={"ids": [cut["id"]]})
        assert job.status_code == 202
        done = finished(client, job.json())
        assert (done["kind"], done["status"], done["result"]["made"]) == ("index", "done", 1)
        until(lambda: client.get("/v1/videos/deep%2Fcut.mp4").status_code == 200)  # the id of a walk from the top
        assert list(listed(client)) == ["junk.mp4"]
        done = finished(client, client.post("/v1/failures", json={}).json())
        assert [Path(one["file"]).name for one in done["result"]["problems"]] == ["junk.mp4"]

        with only_writer(spoilt / "features", IndexFolderError):
            check(client.delete(f"/v1/failures/{junk['id']}"), 409, "index_busy")
        assert client.delete(f"/v1/failures/{junk['id']}").status_code == 204
        check(client.delete(f"/v1/failures/{junk['id']}"), 404, "failure_unknown", "failure_id")
        check(client.post("/v1/failures", json={}), 404, "failure_unknown", "ids")
        left = client.get("/v1/failures").json()
        assert (left["data"], left["num_ignored"]) == ([], 1)
        assert client.get("/v1/libraries").json()["num_failures"] == 0
        table = client.get("/v1/failures.csv")
        (row,) = csv.DictReader(io.StringIO(table.text))
        assert (row["file"], row["stage"], row["ignored"]) == (junk["file"], "open", "yes")
        assert table.headers["content-disposition"] == 'attachment; filename="prvr-failures.csv"'
    assert build_index([spoilt / "videos"], spoilt, load_world_encoder()).extraction.ignored == 1


def test_others_see_names_alone_and_try_nothing_again(spoilt: Path) -> None:
    config = config_of(spoilt, host="0.0.0.0", token=digest_of(TOKEN))
    with asking(config) as client:
        client.headers = with_token()
        found = listed(client)
        assert [one["file"] for one in found.values()] == ["cut.mp4", "junk.mp4"]
        assert [row["file"] for row in csv.DictReader(io.StringIO(client.get("/v1/failures.csv").text))] == [*found]
        for address in ("/v1/failures", "/v1/failures.csv"):
            assert str(spoilt) not in client.get(address).text
        check(client.post("/v1/failures", json={}), 403, "loopback_only")
        assert client.get("/v1/jobs").json()["data"] == []
        assert client.delete(f"/v1/failures/{found['junk.mp4']['id']}").status_code == 204
        assert list(listed(client)) == ["cut.mp4"]


def test_a_first_folder_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    """No library comes of it, but what went wrong is there."""
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "junk.mp4").write_bytes(b"junk")
    with asking(config_of(tmp_path / "index")) as client:
        assert client.get("/v1/failures").json()["data"] == []
        job = client.post("/v1/libraries", json={"path": str(tmp_path / "videos")}).json()
        assert finished(client, job)["status"] == "failed"
        assert client.get("/v1/libraries").json()["num_failures"] == 1
        assert list(listed(client)) == ["junk.mp4"]
