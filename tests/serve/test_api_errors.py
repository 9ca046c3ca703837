"""What is answered when something is wrong: one body, one code, the parameter that is meant, and no trace."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from prvr.core.errors import IndexFolderError
from prvr.core.files import only_writer
from prvr.serve.app import create_app
from prvr.serve.errors import ApiError, sentence
from prvr.serve.headers import HEADERS
from prvr.serve.picture import check_picture
from prvr.service.desk import Desk
from tests.serve.conftest import KEY, asking, config_of

SPAN = {"video_id": "w0000.webm", "start": 1, "end": 2}
LIKE = {"video_id": "w0000.webm"}


def check(answer: Any, status: int, code: str, param: str | None = None) -> str:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert answer.json().keys() == {"error"}
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param), error
    assert "Traceback" not in answer.text
    for name, value in HEADERS:
        assert answer.headers[name.decode()] == value.decode()
    assert answer.headers["x-request-id"]
    message: str = error["message"]
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "body, status, code, param",
    [
        ({"query_text": " "}, 400, "query_empty", "query_text"),
        ({"query_text": "???"}, 400, "query_invalid", "query_text"),
        ({"query_text": 'a "dog'}, 400, "query_invalid", "query_text"),
        ({"query_text": "a dog pth:x"}, 400, "query_invalid", "query_text"),
        ({"query_text": "word " * 400}, 400, "query_invalid", "query_text"),
        ({"query_text": " then ".join("abcdefghi")}, 400, "query_too_long", "query_text"),
        ({"query_text": "a " + " ".join(f"-x{i}" for i in range(17))}, 400, "query_too_long", "query_text"),
        ({"query_text": "a", "filter": {"after": "yesterday"}}, 400, "filter_invalid", "filter.after"),
        ({"query_text": "a", "page_token": "no token"}, 400, "page_token_wrong", "page_token"),
        ({"query_text": "a", "page_token": "WzIwLCAiMDAwMDAwMDAwMDAwIl0"}, 400, "page_token_wrong", "page_token"),
        ({"like": {**SPAN, "start": 900, "end": 901}}, 400, "query_invalid", "query_text"),
        ({"like": {**SPAN, "video_id": "no.mp4"}}, 404, "video_unknown", "video_id"),
        ({"query_text": "a", "feedback": {"negative": [{**SPAN, "video_id": "x"}]}}, 404, "video_unknown", "video_id"),
        ({"query_text": "a then b", "feedback": {"negative": [SPAN]}}, 400, "query_invalid", "query_text"),
        ({}, 422, "parameter_invalid", None),
        ({"query_text": "a", "like": SPAN}, 422, "parameter_invalid", None),
        ({"query_text": ""}, 422, "parameter_invalid", "query_text"),
        ({"query_text": "a" * 2001}, 422, "parameter_invalid", "query_text"),
        ({"query_text": 5}, 422, "parameter_invalid", "query_text"),
        ({"query_text": "\ud800"}, 422, "parameter_invalid", "query_text"),
        ({"query_text": "a", "page_limit": 0}, 422, "parameter_invalid", "page_limit"),
        ({"query_text": "a", "page_limit": 101}, 422, "parameter_invalid", "page_limit"),
        ({"query_text": "a", "page_limit": "20"}, 422, "parameter_invalid", "page_limit"),
        ({"query_text": "a", "colour": "red"}, 422, "parameter_invalid", "colour"),
        ({"query_text": "a", "filter": {"duration": {"gte": -1}}}, 422, "parameter_invalid", "filter.duration.gte"),
        ({"sequence": []}, 422, "parameter_invalid", "sequence"),
        ({"like": LIKE}, 422, "parameter_invalid", "like.start"),
        ({"like": SPAN, "feedback": {"positive": [SPAN]}}, 422, "parameter_invalid", None),
        ([], 422, "parameter_invalid", None),
    ],
)
def test_bad_searches(client: TestClient, body: Any, status: int, code: str, param: str | None) -> None:
    content = json.dumps(body).encode()
    check(client.post("/v1/search", content=content, headers={"content-type": "application/json"}), status, code, param)


@pytest.mark.parametrize(
    "method, path, status, code, param",
    [
        ("GET", "/v1/nothing", 404, "no_such_address", None),
        ("GET", "/nothing", 404, "no_such_address", None),
        ("PUT", "/v1/search", 405, "method_not_allowed", None),
        ("DELETE", "/v1/libraries", 405, "method_not_allowed", None),
        ("GET", "/v1/search", 422, "parameter_invalid", "q"),
        ("GET", "/v1/search?q=%20", 400, "query_empty", "query_text"),
        ("GET", "/v1/search?q=a&limit=x", 422, "parameter_invalid", "limit"),
        ("GET", "/v1/search?q=a&limt=5", 422, "parameter_unknown", "limt"),
        ("GET", "/v1/libraries?%0a=5", 422, "parameter_unknown", "\n"),
        ("GET", "/v1/videos?sort=random", 422, "parameter_invalid", "sort"),
        ("GET", "/v1/videos?page_token=AAAA", 400, "page_token_wrong", "page_token"),
        ("GET", "/v1/videos/no.mp4", 404, "video_unknown", "video_id"),
        ("DELETE", "/v1/videos/no.mp4", 404, "video_unknown", "video_id"),
        ("GET", "/v1/videos/no.mp4/scores?q=a", 404, "video_unknown", "video_id"),
        ("GET", "/v1/videos/w0000.webm/scores", 422, "parameter_invalid", "q"),
        ("GET", "/v1/videos/no.mp4/why?q=a", 404, "video_unknown", "video_id"),
        ("GET", "/v1/videos/w0000.webm/why?q=%20", 400, "query_empty", "query_text"),
        ("GET", "/v1/videos/w0000.webm/why?q=a%20path:", 400, "query_invalid", "query_text"),
        ("POST", "/v1/search/image", 415, "image_unknown", None),
        ("GET", "/assets/no.js", 404, "no_such_address", None),
    ],
)  # fmt: skip
def test_bad_addresses(client: TestClient, method: str, path: str, status: int, code: str, param: str | None) -> None:
    check(client.request(method, path), status, code, param)


def test_a_body_that_is_no_json_is_named_so(client: TestClient) -> None:
    answer = client.post("/v1/search", content=b'{"query_text": ', headers={"content-type": "application/json"})
    assert "not JSON" in check(answer, 422, "parameter_invalid")


def test_messages_say_what_was_found(client: TestClient) -> None:
    message = check(
        client.post("/v1/search", json={"query_text": "a", "page_limit": 101}), 422, "parameter_invalid", "page_limit"
    )
    assert (
        message
        == "page_limit: input should be less than or equal to 100 (found 101); /openapi.json says what is expected"
    )
    several = [{"loc": ("query", "x"), "msg": "Bad", "type": "t"}, {"loc": ("query", "y"), "msg": "Bad", "type": "t"}]
    assert sentence(several) == ("x: bad; and 1 more; /openapi.json says what is expected", "x")


def test_a_picture_that_would_fill_the_memory_is_refused(client: TestClient) -> None:
    huge = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (65_535).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    check(client.post("/v1/search/image", content=huge), 400, "image_too_large")
    cut = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (10).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    message = check(client.post("/v1/search/image", content=cut), 400, "query_invalid", "query_text")
    assert "/tmp" not in message


SMALL_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x07\0\0\0\x05\x08\x02"
TOO_LARGE = (40_000).to_bytes(2, "big") * 2


@pytest.mark.parametrize(
    "content, code",
    [
        (SMALL_PNG, ""),
        (b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc2\0\x0b\x08\0\x05\0\x07\x03\0\0\0", ""),
        (b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x07\0\x05\0", ""),
        (b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + (6 | 4 << 14).to_bytes(4, "little") + bytes(8), ""),
        (b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x06\0\0\x04\0\0", ""),
        (b"\xff\xd8\xff\xc0\0\x0b\x08" + TOO_LARGE + b"\x03\0\0\0", "image_too_large"),
        (b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\xff\xff\0\xff\xff\0", "image_too_large"),
        (SMALL_PNG[:20] + bytes(4) + SMALL_PNG[24:], "image_too_large"),  # no pixel at all
        (SMALL_PNG.replace(b"IHDR", b"tEXt"), "image_unknown"),
        (b"\xff\xd8\xff\xda\0\x02", "image_unknown"),
        (b"\xff\xd8", "image_unknown"),
        (b"GIF89a\x07\0\x05\0" * 9, "image_unknown"),
        (b"<svg width='7' height='5'/>", "image_unknown"),
        (b"", "image_unknown"),
    ],
)
def test_only_pictures_of_a_known_kind_and_size_are_decoded(content: bytes, code: str) -> None:
    if not code:
        check_picture(content)
        return
    with pytest.raises(ApiError) as refused:
        check_picture(content)
    assert refused.value.code == code


def test_our_own_mistake_is_one_sentence_with_the_request(library: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = config_of(library)
    desk = Desk(library)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret of ours")

    desk.search = broken  # type: ignore[method-assign, assignment]
    desk.open()
    app = create_app(desk, config)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False, headers=KEY) as client:
        answer = client.get("/v1/search?q=a", headers={"x-request-id": "abc-1"})
        message = check(answer, 500, "internal")
        assert "secret" not in answer.text
        assert answer.headers["x-request-id"] == "abc-1"
        assert "abc-1" in message
    desk.close()


def test_without_an_index_there_is_a_way_on(tmp_path: Path) -> None:
    with asking(config_of(tmp_path / "none")) as client:
        check(client.get("/v1/search?q=a"), 503, "no_index")
        assert client.get("/v1/search?q=a").headers["retry-after"] == "5"
        check(client.get("/readyz"), 503, "no_index")
        assert client.get("/healthz").json() == {"status": "ok", "num_videos": 0}
        found = client.get("/v1/libraries").json()
        assert (found["data"], found["can_add"]) == ([], True)


def test_an_index_that_appears_is_opened(own: Path, tmp_path: Path) -> None:
    place = tmp_path / "later"
    config = config_of(place)
    with asking(config) as client:
        check(client.get("/readyz"), 503, "no_index")
        own.rename(place)
        client.app.state.prvr.desk._tried = 0.0  # type: ignore[attr-defined]
        assert client.get("/readyz").status_code == 200
        assert client.get("/v1/search?q=a red circle").json()["num_videos"] > 0


def test_a_video_is_taken_out_and_its_file_stays(own: Path) -> None:
    with asking(config_of(own)) as client:
        assert client.get("/v1/videos/w0001.webm").json()["state"] == "playable"
        assert client.delete("/v1/videos/w0001.webm").status_code == 204
        check(client.get("/v1/videos/w0001.webm"), 404, "video_unknown", "video_id")
        assert (own / "videos" / "w0001.webm").exists()
        with only_writer(own, IndexFolderError):
            check(client.delete("/v1/videos/w0002.webm"), 409, "index_busy")
        assert client.delete("/v1/videos/more%2Fw0000.webm").status_code == 204


def test_a_file_that_is_gone_is_said_to_be(own: Path) -> None:
    (own / "videos" / "w0001.webm").unlink()
    with asking(config_of(own)) as client:
        assert client.get("/v1/libraries").json()["data"][0]["num_missing"] == 1
        (gone,) = client.get("/v1/videos?missing=true").json()["data"]
        assert (gone["id"], gone["state"]) == ("w0001.webm", "missing")
        (hit,) = client.post("/v1/search", json={"query_text": "a path:w0001"}).json()["data"]
        assert hit["state"] == "missing"


def test_the_list_of_videos(client: TestClient) -> None:
    first = client.get("/v1/videos?limit=10").json()
    ids, token = [video["id"] for video in first["data"]], first["next_page_token"]
    while token:
        page = client.get("/v1/videos", params={"limit": 10, "page_token": token}).json()
        ids, token = ids + [video["id"] for video in page["data"]], page["next_page_token"]
    assert len(ids) == len(set(ids)) == first["num_videos"] == 36
    longest = client.get("/v1/videos?sort=longest&limit=100").json()["data"]
    assert [one["duration_s"] for one in longest] == sorted((one["duration_s"] for one in longest), reverse=True)
    newest = client.get("/v1/videos?sort=newest&limit=100").json()["data"]
    assert [one["modified"] for one in newest] == sorted((one["modified"] for one in newest), reverse=True)
    some = client.get("/v1/videos?path=w0003").json()
    assert [one["id"] for one in some["data"]] == ["more/w0003.webm", "w0003.webm"][1:]
    one = client.get("/v1/videos/w0003.webm").json()
    assert (one["name"], one["path"], one["tags"]) == ("w0003.webm", "videos/w0003.webm", ["shapes"])
    assert (one["width"], one["height"], one["codec"]) == (192, 144, "vp8")
    bare = client.get("/v1/videos/more%2Fw0003.webm").json()
    assert (bare["state"], bare["name"], bare["width"]) == ("features_only", "w0003.webm", None)


def test_the_library(client: TestClient, library: Path) -> None:
    (found,) = client.get("/v1/libraries").json()["data"]
    assert (found["num_videos"], found["num_missing"], found["calibrated"]) == (36, 0, True)
    assert (found["name"], found["folder"], found["can_add"]) == ("library", str(library), True)
    assert found["encoder"]["limits"].startswith("This demo model understands only")
    texts = re.findall(r'"text": "([^"]+)"', (library / "annotations" / "test.jsonl").read_text())
    assert 0 < len(found["examples"]) <= 6
    assert set(found["examples"]) <= set(texts)
    assert found["tags"] == ["shapes"]
    assert found["media"]
    assert found["bytes"] > 10_000
    assert found["duration_s"] > 100


ODD_PATHS = [
    "~nobody-of-this-name/x",
    f"/{'a' * 300}",
    f"/tmp/{'é' * 200}/x",
    "/\0",
    "relative",
    f"/{'a/' * 2000}b",
    "/proc/self/fd/99999",
]


@pytest.mark.parametrize("path", ODD_PATHS)
def test_a_path_that_cannot_be_looked_at_is_the_clients_mistake(own: Path, path: str) -> None:
    with asking(config_of(own)) as client:
        for answer in (
            client.post("/v1/libraries", json={"path": path}),
            client.patch("/v1/videos/w0000.webm", json={"path": path}),
            client.get("/v1/places", params={"path": path}),
            client.post("/v1/models", json={"path": path}),
        ):
            check(answer, 422, "video_unreadable")


def test_a_wrong_method_is_told_the_right_ones(client: TestClient) -> None:
    for path, methods in (
        ("/v1/videos/w0000.webm", "DELETE, GET, PATCH"),
        ("/v1/search", "GET, POST"),
        ("/v1/videos/w0000.webm/stream", "GET, HEAD"),
        ("/v1/jobs/x/resume", "POST"),
    ):
        answer = client.put(path)
        check(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == methods
