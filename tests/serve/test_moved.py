"""Over the API: where a video's file lies now, and the file manager that shows it."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from prvr.core.errors import IndexFolderError
from prvr.core.files import only_writer
from prvr.service.jobs import Jobs
from prvr.service.sessions import digest_of
from tests.serve.conftest import asking, config_of, until
from tests.serve.test_api_errors import check
from tests.serve.test_api_security import TOKEN, with_token
from tests.service import tasks

VIDEO = "/v1/videos/w0001.webm"


def test_a_file_is_located_and_nothing_is_read_again(own: Path, tmp_path: Path) -> None:
    before, features = own / "videos" / "w0001.webm", own / "features"
    new = before.rename(tmp_path / "new name.webm")
    made = {path: path.stat().st_mtime_ns for path in features.rglob("*.safetensors")}
    with asking(config_of(own)) as client:
        assert client.get(VIDEO).json()["state"] == "missing"
        scores = client.get(f"{VIDEO}/scores?q=a red circle").json()
        check(client.patch(VIDEO, json={"path": "new name.webm"}), 422, "video_unreadable")  # not a whole path
        check(client.patch(VIDEO, json={"path": str(tmp_path / "nowhere")}), 422, "video_unreadable")
        check(client.patch("/v1/videos/no.mp4", json={"path": str(new)}), 404, "video_unknown", "video_id")
        other = shutil.copy(own / "videos" / "w0002.webm", tmp_path)
        check(client.patch(VIDEO, json={"path": str(other)}), 409, "other_file", "path")
        twin = client.patch(VIDEO, json={"path": str(own / "videos" / "w0002.webm")})
        check(twin, 409, "other_file", "path")
        assert "is in the index already, as w0002.webm" in twin.json()["error"]["message"]
        with only_writer(own, IndexFolderError):
            check(client.patch(VIDEO, json={"path": str(new)}), 409, "index_busy")
        found = client.patch(VIDEO, json={"path": str(new)}).json()
        assert (found["id"], found["name"], found["state"]) == ("w0001.webm", "new name.webm", "playable")
        assert client.get(found["stream_url"]).content == new.read_bytes()
        assert client.get(f"{VIDEO}/scores?q=a red circle").json() == scores
        (library,) = client.get("/v1/libraries").json()["data"]
        assert (library["num_missing"], library["num_videos"], library["calibrated"]) == (0, 36, True)
        check(client.patch(VIDEO, json={"path": str(new)}), 409, "other_file", "path")  # is there
    assert made == {path: path.stat().st_mtime_ns for path in features.rglob("*.safetensors")}


def test_not_while_the_index_is_written(own: Path, tmp_path: Path) -> None:
    new = (own / "videos" / "w0001.webm").rename(tmp_path / "w0001.webm")
    with asking(config_of(own)) as client:
        jobs: Jobs = client.app.state.prvr.jobs  # type: ignore[attr-defined]
        job = jobs.start("index", tasks.wait_for, tmp_path / "marker")
        check(client.patch(VIDEO, json={"path": str(tmp_path)}), 409, "indexing")
        check(client.delete("/v1/failures/x"), 409, "indexing")
        (tmp_path / "marker").touch()
        until(lambda: jobs.get(job.id).ended)
        assert client.patch(VIDEO, json={"path": str(tmp_path)}).json()["name"] == new.name  # the folder is enough


def test_others_than_this_machine_move_and_open_nothing(own: Path) -> None:
    with asking(config_of(own, host="0.0.0.0", token=digest_of(TOKEN))) as client:
        client.headers = with_token()
        check(client.patch(VIDEO, json={"path": str(own)}), 403, "loopback_only")
        check(client.post(f"{VIDEO}/reveal"), 403, "loopback_only")
        check(client.post(f"{VIDEO}/open", json={"player": "mpv"}), 403, "loopback_only")
        assert client.get("/v1/libraries").json()["data"][0]["can_reveal"] is False


def program(folder: Path, name: str, *, code: int) -> Path:
    """A small program that writes down what it was given."""
    file, said = folder / name, folder / f"{name}.said"
    file.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {shlex.quote(str(said))}\nexit {code}\n')
    file.chmod(0o755)
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="the programs of a Linux desktop")
def test_the_file_manager_opens_at_the_file(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    name = 'it\'s 100 %, a "film".webm'
    (own / "videos" / "w0001.webm").rename(own / "videos" / name)
    with asking(config_of(own)) as client:
        assert client.patch(VIDEO, json={"path": str(own / "videos" / name)}).json()["name"] == name
        monkeypatch.setenv("DISPLAY", ":99")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        assert client.get("/v1/libraries").json()["data"][0]["can_reveal"] is False
        check(client.post(f"{VIDEO}/reveal"), 409, "no_file_manager")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
        asked = program(tmp_path / "bin", "dbus-send", code=0)
        assert client.get("/v1/libraries").json()["data"][0]["can_reveal"] is True
        assert client.post(f"{VIDEO}/reveal").status_code == 204
        uri = asked.read_text().splitlines()[-2]
        assert unquote(uri) == f"array:string:file://{own / 'videos' / name}"
        assert "," not in uri

        program(tmp_path / "bin", "dbus-send", code=1)  # no file manager answers on the bus
        asked = program(tmp_path / "bin", "gdbus", code=1)
        opened = program(tmp_path / "bin", "xdg-open", code=0)
        assert client.post(f"{VIDEO}/reveal").status_code == 204
        assert asked.read_text().splitlines()[-2].count("'") == 2
        assert opened.read_text() == f"{own / 'videos'}\n"

        check(client.post(f"{VIDEO}/open", json={"player": "vlc"}), 409, "no_player", "player")
        played = program(tmp_path / "bin", "vlc", code=0)
        assert client.get("/v1/libraries").json()["data"][0]["players"] == ["vlc"]
        assert client.post(f"{VIDEO}/open", json={"player": "vlc", "at": 1.25}).status_code == 204
        assert played.read_text().splitlines() == ["--start-time=1.250", str(own / "videos" / name)]
        program(tmp_path / "bin", "vlc", code=1)
        check(client.post(f"{VIDEO}/open", json={"player": "vlc"}), 409, "no_player")

        (own / "videos" / name).unlink()
        opened.unlink()
        check(client.post(f"{VIDEO}/reveal"), 410, "video_missing")
        check(client.post("/v1/videos/more%2Fw0000.webm/reveal"), 404, "features_only")
        check(client.post("/v1/videos/%2Fetc%2Fpasswd/reveal"), 404, "video_unknown", "video_id")
        assert not opened.exists()
        monkeypatch.delenv("DISPLAY")
        library = client.get("/v1/libraries").json()["data"][0]
        assert (library["can_reveal"], library["players"]) == (False, [])
