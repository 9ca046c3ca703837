"""The folders of a library through the API: what there is, choosing, watching, removing; and several libraries."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from prvr.search.folders import drop, note_read, recall, set_watched, sources
from prvr.serve.app import create_app
from prvr.serve.settings import ServeConfig
from prvr.serve.shelf import Shelf, shelved
from prvr.service.desk import Desk
from prvr.service.sessions import digest_of
from prvr.service.watch import Watch
from tests.serve.conftest import asking, config_of, finished, read, until


@pytest.fixture
def mine(own: Path, films: Path, tmp_path: Path) -> tuple[Path, Path]:
    """An index with a folder of its own read into it, and that folder."""
    folder = tmp_path / "trip"
    folder.mkdir()
    for name in ("plays.mp4", "deleted.mp4"):
        shutil.copy(films / name, folder)
    read(folder, own)
    return own, folder


def test_what_was_read_is_listed_and_can_be_taken_out(mine: tuple[Path, Path]) -> None:
    own, folder = mine
    with asking(config_of(own)) as client:
        found = {one["path"]: one for one in client.get("/v1/folders").json()["data"]}
        trip = found[str(folder)]
        assert (trip["num_videos"], trip["num_missing"], trip["there"], trip["watched"]) == (2, 0, True, False)
        assert trip["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
        assert trip["duration_s"] == 7
        assert trip["read_at"] > folder.stat().st_mtime
        assert len(found) == 2  # the others follow from the ids of what an earlier version read
        names = [one["name"] for one in client.get(f"/v1/videos?folder={trip['id']}&sort=oldest").json()["data"]]
        assert sorted(names) == ["deleted.mp4", "plays.mp4"]
        before = client.get("/v1/libraries").json()["data"][0]["num_videos"]
        (folder / "deleted.mp4").unlink()
        again = {one["path"]: one for one in client.get("/v1/folders").json()["data"]}
        assert again[str(folder)]["num_missing"] == 1
        assert client.delete(f"/v1/folders/{trip['id']}").status_code == 204
        assert client.get("/v1/libraries").json()["data"][0]["num_videos"] == before - 2
        assert str(folder) not in {one["path"] for one in client.get("/v1/folders").json()["data"]}
        assert (folder / "plays.mp4").exists()
        gone = client.delete(f"/v1/folders/{trip['id']}")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "folder_unknown")


def test_nobody_looks_outside_of_what_was_allowed(own: Path, tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    for folder in (home / "videos" / "a", home / ".hidden", other / "secret"):
        folder.mkdir(parents=True)
    (home / "b.mp4").write_bytes(b"")
    (home / "out").symlink_to(other)
    (home / "round").symlink_to(home / "videos")
    with asking(config_of(own, roots=(home,))) as client:
        first = client.get("/v1/places").json()
        assert first["path"] == str(home)
        assert first["parent"] is None
        assert [Path(one).name for one in first["folders"]] == ["round", "videos"]  # no link out, nothing hidden
        assert first["num_videos"] == 1
        assert client.get("/v1/places", params={"path": str(home / "videos")}).json()["parent"] == str(home)
        for path in (other, home / "out" / "secret", home / ".." / "other", Path("/")):
            refused = client.get("/v1/places", params={"path": str(path)})
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "folder_outside"), path
            assert "prvr serve --allow" in refused.json()["error"]["message"]
        refused = client.post("/v1/libraries", json={"path": str(home / "out")})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "folder_outside")


def test_others_than_this_machine_see_names_and_choose_nothing(mine: tuple[Path, Path]) -> None:
    own, _ = mine
    headers = {"Authorization": "Bearer a-token-of-length"}
    with asking(config_of(own, host="0.0.0.0", token=digest_of("a-token-of-length"))) as other:
        paths = [one["path"] for one in other.get("/v1/folders", headers=headers).json()["data"]]
        assert "trip" in paths
        assert not [path for path in paths if "/" in path]
        for method, url in (
            ("GET", "/v1/places"),
            ("DELETE", "/v1/folders/x"),
            ("PATCH", "/v1/folders/x"),
            ("POST", "/v1/models"),
        ):
            body = {"PATCH": {"watched": True}, "POST": {"name": "clip-b32"}}.get(method)
            refused = other.request(method, url, headers=headers, json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "loopback_only"), url


def test_a_folder_moves_with_its_index_and_torn_notes_cost_nothing(tmp_path: Path) -> None:
    (tmp_path / "a" / "videos" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "index").mkdir()
    index = tmp_path / "a" / "index"
    note_read(index, [tmp_path / "a" / "videos", tmp_path / "a" / "videos" / "deep"])
    set_watched(index, tmp_path / "a" / "videos", True)
    (tmp_path / "a").rename(tmp_path / "b")
    index, videos = tmp_path / "b" / "index", tmp_path / "b" / "videos"
    assert {path: one.watched for path, one in recall(index).items()} == {videos: True, videos / "deep": False}
    files = {"deep/x.mp4": videos / "deep" / "x.mp4", "y.mp4": videos / "y.mp4", "in/z.mp4": tmp_path / "c/in/z.mp4"}
    assert sources(index, files) == {videos: ["y.mp4"], videos / "deep": ["deep/x.mp4"], tmp_path / "c": ["in/z.mp4"]}
    (index / "folders.json").write_text('[{"path": ')
    assert recall(index) == {}


class Reading:
    """Stands where a job is started: it notes what is asked, and what lay there then."""

    def __init__(self) -> None:
        self.seen: list[set[str]] = []
        self.changed = asyncio.Event()

    async def __call__(self, folder: Path) -> None:
        self.seen.append({path.name for path in folder.iterdir()})
        self.changed.set()

    async def next(self) -> set[str]:
        await asyncio.wait_for(self.changed.wait(), 60)
        self.changed.clear()
        return self.seen[-1]


def test_ten_thousand_files_are_one_reading_and_a_folder_that_vanishes_is_waited_for(tmp_path: Path) -> None:
    async def watched() -> None:
        index, folder, reading = tmp_path / "index", tmp_path / "films", Reading()
        index.mkdir()
        folder.mkdir()
        set_watched(index, folder, True)
        watch = Watch(index, reading, quiet_s=0.3, away_s=0.1)
        await watch.follow()
        assert await reading.next() == set()  # what changed while nobody looked
        for number in range(10_000):
            (folder / f"{number}.mp4").touch()
        assert len(await reading.next()) == 10_000
        assert len(reading.seen) == 2
        (folder / "notes.txt").touch()
        (folder / ".part.mp4").touch()
        (folder / "0.mp4").unlink()
        folder.rename(tmp_path / "away")
        await asyncio.sleep(1)
        assert len(reading.seen) == 2  # nothing is to be read, and nothing was
        (tmp_path / "away" / "new.mp4").touch()
        (tmp_path / "away").rename(folder)
        assert "new.mp4" in await reading.next()
        (tmp_path / "trip").mkdir()
        (tmp_path / "trip" / "moved.mp4").touch()
        (tmp_path / "trip").rename(folder / "trip")  # one change, the folder's own
        assert "trip" in await reading.next()
        set_watched(index, folder, False)
        await watch.follow()
        (folder / "later.mp4").touch()
        await asyncio.sleep(1)
        assert len(reading.seen) == 4
        set_watched(index, folder, True)
        await watch.follow()
        await reading.next()
        drop(index, folder)  # in a terminal, which the server is not told of
        (folder / "more.mp4").touch()
        await asyncio.sleep(1)
        assert len(reading.seen) == 5
        await watch.close()

    asyncio.run(watched())


def test_what_is_copied_into_a_watched_folder_is_searched(mine: tuple[Path, Path], films: Path) -> None:
    own, folder = mine
    with asking(config_of(own)) as client:
        trip = next(one for one in client.get("/v1/folders").json()["data"] if one["path"] == str(folder))
        assert client.patch(f"/v1/folders/{trip['id']}", json={"watched": True}).json()["watched"]
        shutil.copy(films / "box.mkv", folder)
        until(lambda: "box.mkv" in str(client.get("/v1/videos?path=trip").json()["data"]))
        assert all(job["status"] in ("done", "running", "queued") for job in client.get("/v1/jobs").json()["data"])


@pytest.fixture
def two(library: Path, own: Path) -> Iterator[TestClient]:
    """Both libraries behind one port, below a path of a proxy."""
    desks = [Desk(library), Desk(own)]
    for desk in desks:
        desk.open()
    shelf = shelved([library, own], "/prvr")
    apps = {
        one.path: create_app(desk, ServeConfig(folder=desk.folder, root_path=one.path), shelf)
        for one, desk in zip(shelf, desks, strict=True)
    }
    with TestClient(Shelf(apps, "/prvr"), base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
        yield client
    for desk in desks:
        desk.close()


def test_each_library_of_a_server_has_an_address_of_its_own(two: TestClient) -> None:
    shelf = two.get("/prvr/v1/libraries").json()["shelf"]
    assert [one["here"] for one in shelf] == [True, False]
    other = shelf[1]["url"]
    assert other.startswith("/prvr/l/")
    for base in (other, other.removeprefix("/prvr")):  # a proxy may take its own path off
        assert [one["here"] for one in two.get(f"{base}v1/libraries").json()["shelf"]] == [False, True]
    videos = two.get(f"{other}v1/videos?limit=100").json()["data"]
    video = next(one for one in videos if one["state"] not in ("features_only", "missing"))
    assert video["thumbnail_url"].startswith(f"{other}v1/videos/")
    found = two.get(video["thumbnail_url"])
    assert found.headers["content-type"] == "image/jpeg", found.text
    assert two.get(other).text.startswith("<!doctype html>")
    assert two.delete(f"{other}v1/videos/{video['id']}").status_code == 204
    counts = [two.get(f"{base}v1/libraries").json()["data"][0]["num_videos"] for base in ("/prvr/", other)]
    assert counts[0] == counts[1] + 1
    page = two.get("/prvr/l/nobody/", headers={"accept": "text/html"})
    assert page.status_code == 404
    assert "Go to the start page" in page.text


def test_names_of_libraries_are_told_apart(tmp_path: Path) -> None:
    found = shelved([tmp_path / "a" / ".prvr", tmp_path / "b", tmp_path / "c" / "b", tmp_path / "Ü"])
    assert [one.name for one in found] == ["a", "b", "b", "Ü"]
    assert len({one.path for one in found}) == 4
    assert found[0].path == ""


def test_stills_are_kept_for_files_that_are_away(mine: tuple[Path, Path]) -> None:
    own, folder = mine
    with asking(config_of(own)) as client:
        video = next(one for one in client.get("/v1/videos?path=trip").json()["data"] if one["name"] == "plays.mp4")
        client.get(f"/v1/videos/{video['id']}")
        seen = client.get(video["thumbnail_url"])
        assert seen.status_code == 200
        (folder / "plays.mp4").rename(folder / "gone")
        away = client.get(f"/v1/videos/{video['id']}").json()
        assert away["state"] == "missing"
        assert client.get(away["thumbnail_url"]).content == seen.content
        assert client.get(f"/v1/videos/{video['id']}/thumb?t=1&width=640").content == seen.content


def test_models_are_offered_and_brought_from_a_folder(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRVR_DATA", str(tmp_path / "data"))
    (tmp_path / "empty").mkdir()
    with asking(config_of(tmp_path / "none")) as client:
        assert client.get("/v1/libraries").json()["needs_model"]
        found = client.get("/v1/models").json()
        assert found["data"][0]["recommended"]
        assert {"licence", "languages", "bytes"} <= found["data"][0].keys()
        assert "world" not in {one["name"] for one in found["data"]}
        assert client.post("/v1/models", json={"name": "x", "path": "/y"}).status_code == 422
        job = finished(client, client.post("/v1/models", json={"path": str(tmp_path / "empty")}).json())
        assert job["status"] == "failed"
        assert str(tmp_path / "empty") in job["error"]["message"]
        job = finished(client, client.post("/v1/models", json={"name": "clip"}).json())
        assert job["status"] == "failed"
        assert "clip-b32" in job["error"]["message"]
    with asking(config_of(library)) as client:
        assert not client.get("/v1/libraries").json()["needs_model"]
