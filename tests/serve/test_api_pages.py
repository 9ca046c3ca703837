"""What people and Prometheus read: the page, the page without scripts, counters."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from prvr.serve import pages
from tests.serve.conftest import asking, config_of

QUERY = "A striped red circle bounces."


class Links(HTMLParser):
    """The targets of links and pictures, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.targets += [value for name, value in attrs if name in ("href", "src", "action") and value]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_search_without_scripts(client: TestClient) -> None:
    answer = client.get("/plain", params={"q": QUERY})
    assert answer.headers["content-type"].startswith("text/html")
    found = client.get("/v1/search", params={"q": QUERY}).json()
    page = Links(answer.text)
    assert page.tags.count("li") == page.tags.count("img") == 20
    best = found["data"][0]
    assert f"{best['stream_url']}#t={best['start']:g},{best['end']:g}" in page.targets
    assert best["thumbnail_url"] in page.targets
    assert best["name"] in page.words
    assert not [target for target in page.targets if "//" in target], "nothing is fetched from elsewhere"
    assert "script" not in page.tags
    (more,) = [target for target in page.targets if "page_token" in target]
    second = Links(client.get(more).text)
    assert second.tags.count("li") == 16
    assert not any("page_token" in target for target in second.targets)


def test_it_says_when_nothing_matches(client: TestClient) -> None:
    assert "Nothing in these 36 videos clearly matches" in client.get("/plain?q=xqzvk").text
    assert "Not known to this model: xqzvk" in client.get("/plain?q=xqzvk").text
    assert "No videos match these filters" in client.get("/plain?q=a after:2999").text


@pytest.mark.parametrize("hostile", ['"><script>alert(1)</script>', "' onfocus=alert(1) x='", "<img src=x>", "&lt;"])
def test_nothing_of_a_query_becomes_markup(client: TestClient, hostile: str) -> None:
    for text in (hostile, f"a circle {hostile}", f'path:"{hostile}" a'):
        answer = client.get("/plain", params={"q": text})
        page = Links(answer.text)
        assert answer.status_code in (200, 400)
        assert "script" not in page.tags
        assert "onfocus" not in page.attributes
        assert page.tags.count("input") == 1


def test_names_of_files_become_no_markup(own: Path) -> None:
    from prvr.index.opening import open_index

    name = "<b onclick=x>&.webm"
    with open_index(own, write=True) as index:
        bank = index.candidate(index.search(_any(index), k=1)[0].bank.tokens[0], "w0001.webm").bank
        index.add(name, bank)
        index.save(own)
    with asking(config_of(own)) as client:
        page = Links(client.get("/plain", params={"q": QUERY}).text)
        assert name in page.words
        assert "b" not in page.tags


def _any(index: Any) -> Any:
    import torch

    return torch.ones(index.header.width)


def test_mistakes_are_told_on_the_page(client: TestClient) -> None:
    answer = client.get("/plain", params={"q": '"open'})
    assert answer.status_code == 400
    assert "the quote is not closed" in answer.text
    assert client.get("/plain").status_code == 200


def test_the_page_and_its_files(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE", tmp_path / "none")
    assert "The page is not built" in client.get("/").text
    (tmp_path / "page" / "assets").mkdir(parents=True)
    (tmp_path / "page" / "index.html").write_text("<!doctype html>built")
    (tmp_path / "page" / "assets" / "main-1a2b.js").write_text("1")
    monkeypatch.setattr(pages, "PAGE", tmp_path / "page")
    page = client.get("/")
    assert page.text == "<!doctype html>built"
    assert page.headers["cache-control"] == "no-cache"
    script = client.get("/assets/main-1a2b.js")
    assert "immutable" in script.headers["cache-control"]
    assert "javascript" in script.headers["content-type"]
    assert client.get("/assets/other.js").status_code == 404


def numbers(client: TestClient) -> dict[tuple[str, str], float]:
    text = client.get("/metrics").text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[sample.name, labels] = sample.value
    return found


def test_what_is_counted(library: Path) -> None:
    with asking(config_of(library)) as client:
        for _ in range(3):
            client.get("/v1/videos/w0001.webm")
        client.get("/v1/videos/none")
        client.get("/nowhere/at/all")
        client.get("/v1/search?q=xqzvk")
        client.request("BREW", "/v1/search")
        found = numbers(client)
    route = "/v1/videos/{video_id}"
    assert found["prvr_requests_total", f"method=GET,route={route},status=200"] == 3
    assert found["prvr_requests_total", f"method=GET,route={route},status=404"] == 1
    assert found["prvr_requests_total", "method=GET,route=other,status=404"] == 1
    assert found["prvr_request_seconds_count", f"route={route}"] == 4
    assert found["prvr_searches_total", "verdict=nothing found"] == 1
    assert found["prvr_batch_size_count", ""] == 1
    assert found["prvr_index_videos", ""] == 36
    assert found["prvr_queue_length", ""] == 0
    assert found["process_resident_memory_bytes", ""] > 1e6
    names = " ".join(label for _, label in found)
    assert "xqzvk" not in names
    assert "w0001" not in names
    assert "nowhere" not in names
    assert "BREW" not in names


def test_two_servers_count_apart(client: TestClient, library: Path) -> None:
    with asking(config_of(library)) as other:
        other.get("/healthz")
        assert numbers(other)["prvr_requests_total", "method=GET,route=/healthz,status=200"] == 1
