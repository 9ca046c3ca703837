"""Searches that are kept: what came since is new, until somebody says that it was looked at."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import pytest

from prvr.cli import main
from prvr.service.saved_searches import MOST, saved_searches
from tests.serve.conftest import config_of, of, read, serving, until

ASKED = "a red ball"


def kept(client: httpx.Client) -> list[tuple[str, int]]:
    return [(one["query"], one["num_new"]) for one in client.get("/v1/saved").json()["data"]]


def test_what_comes_is_new_until_it_was_looked_at(own: Path, world: Path, tmp_path: Path) -> None:
    with serving(config_of(own)) as live, live.client() as client:
        assert kept(client) == []
        made = client.post("/v1/saved", json={"query_text": ASKED})
        assert (made.status_code, made.json()["num_new"]) == (201, 0)
        saved = made.json()["id"]
        assert client.post("/v1/saved", json={"query_text": ASKED}).json()["id"] == saved  # not twice
        assert client.get(f"/v1/saved/{saved}").json()["data"] == []
        folder = tmp_path / "new"
        folder.mkdir()
        shutil.copy(sorted((world / "videos").glob("*"))[0], folder / "came.webm")
        read(folder, own)
        until(lambda: kept(client) == [(ASKED, 1)])
        (hit,) = client.get(f"/v1/saved/{saved}").json()["data"]
        assert hit["video_id"] == "came.webm"
        searched = client.post("/v1/search", json={"query_text": ASKED, "page_limit": 100}).json()["data"]
        same = next(one for one in searched if one["video_id"] == "came.webm")
        assert {**hit, "state": same["state"]} == same  # its rank too; the state is found out meanwhile
        client.post("/v1/saved", json={"query_text": "path:came a ball"})
        assert kept(client) == [(ASKED, 1), ("path:came a ball", 0)]  # found before it was kept
    with serving(config_of(own)) as live, live.client() as client:
        assert kept(client) == [(ASKED, 1), ("path:came a ball", 0)]
        named = client.post("/v1/saved", json={"query_text": ASKED, "name": "balls"}).json()
        assert (named["name"], named["num_new"]) == ("balls", 0)
        assert client.post("/v1/saved", json={"query_text": ASKED}).json()["name"] == "balls"  # as before
        twin = client.post("/v1/saved", json={"query_text": "a star", "name": "balls"})
        assert (twin.status_code, "another saved search has this name" in twin.json()["error"]["message"]) == (
            400,
            True,
        )
        (folder / "came.webm").unlink()
        shutil.copy(sorted((world / "videos").glob("*"))[1], folder / "came.webm")  # the same name, another film
        read(folder, own)
        until(lambda: kept(client)[0] == (ASKED, 1))
        assert client.delete(of("came.webm")).status_code == 204
        assert kept(client)[0] == (ASKED, 0)
        assert client.delete(f"/v1/saved/{saved}").status_code == 204
        assert client.delete(f"/v1/saved/{saved}").json()["error"]["code"] == "saved_unknown"
        assert client.get(f"/v1/saved/{saved}").status_code == 404


def test_the_command_line_has_the_same(
    own: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[int, str]:
        code = main(["search", *words, "--index", str(own)])
        told = capsys.readouterr()
        return code, told.out + told.err

    assert "No search is saved" in run("--saved")[1]
    assert "Saved as balls" in run(ASKED, "--save", "balls")[1]
    (tmp_path / "new").mkdir()
    shutil.copy(sorted((world / "videos").glob("*"))[0], tmp_path / "new" / "came.webm")
    read(tmp_path / "new", own)
    assert run("--saved") == (0, f"   1 new  balls: {ASKED}\n")
    assert json.loads(run("--saved", "--json")[1])[0]["new"] == 1
    assert "came.webm" in run("--saved", "balls", "--all")[1]
    assert "Nothing new in balls" in run("--saved", "balls")[1]
    assert run("--saved", "bals") == (1, "prvr search: bals: no such saved search; did you mean balls?\n")
    assert "balls is not saved any more" in run("--drop", "balls")[1]
    assert saved_searches(own) == {}
    with pytest.raises(SystemExit):
        run("a", "b", "--save", "two")


def test_what_cannot_be_kept(own: Path) -> None:
    with serving(config_of(own)) as live, live.client() as client:
        wrong = client.post("/v1/saved", json={"query_text": '"open'})
        assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "invalid_request")
        rows = [{"id": "", "query": f"{n}", "made_at": 0, "looked_at": 0, "found": {}} for n in range(MOST)]
        (own / "saved.json").write_text(json.dumps(rows))
        full = client.post("/v1/saved", json={"query_text": ASKED})
        assert (full.status_code, f"{MOST} searches are saved already" in full.json()["error"]["message"]) == (
            400,
            True,
        )
        assert client.post("/v1/saved", json={"query_text": "7"}).status_code == 201  # it is there
        (own / "saved.json").write_text('[{"query": 7}]')
        assert (saved_searches(own), kept(client)) == ({}, [])
