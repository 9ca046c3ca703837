"""Search over HTTP: the engine's own values, pages, filters, order in time, likeness, feedback, strips."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from starlette.testclient import TestClient

from prvr.core.facts import Where
from prvr.core.grammar import Request
from prvr.data.annotations import read_queries
from prvr.encoders.world import load_world_encoder
from prvr.search.engine import SearchEngine, calibrate_folder
from prvr.video.decode import sample_frames
from tests.conftest import FEATURES_ONLY, FILES
from tests.serve.conftest import asking, config_of

ALL = FILES + FEATURES_ONLY
SENTENCE = "A striped red circle bounces."


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [hit["video_id"] for hit in found["data"]]


def flat(spans: list[dict[str, float]]) -> list[float]:
    return [span[edge] for span in spans for edge in ("start", "end")]


def test_hits_are_those_of_the_engine(client: TestClient, engine: SearchEngine) -> None:
    found = ask(client, query_text=SENTENCE, page_limit=10)
    hits = engine.search(SENTENCE, k=10)
    assert names(found) == [hit.video_id for hit in hits]
    for told, hit in zip(found["data"], hits, strict=True):
        assert told["score"] == pytest.approx(hit.score, abs=1e-6)
        assert told["confidence"] == hit.confidence
        assert told["p_topic"] == pytest.approx(hit.p_topic)
        assert flat(told["moments"]) == pytest.approx([edge for span in hit.moments for edge in span], abs=1e-3)
        assert told["relevance"] == pytest.approx(hit.relevance, abs=1e-4)
        assert told["relevance_step_s"] == 1.0
        assert (told["start"], told["end"]) == pytest.approx(hit.moments[0], abs=1e-3)
    assert [hit["rank"] for hit in found["data"]] == list(range(1, 11))
    assert found["num_videos"] == found["num_asked"] == ALL
    assert found["model"] == "zero-shot"
    low, high = found["relevance_range"]
    assert low <= min(min(hit["relevance"]) for hit in found["data"])
    assert high >= max(max(hit["relevance"]) for hit in found["data"]) - 1e-4


def test_a_url_asks_the_same(client: TestClient) -> None:
    simple = client.get("/v1/search", params={"q": SENTENCE, "limit": 5}).json()
    full = ask(client, query_text=SENTENCE, page_limit=5)
    assert simple["data"] == full["data"]
    assert simple["query"] == SENTENCE


def test_pages_are_the_one_long_list_cut(client: TestClient) -> None:
    whole = ask(client, query_text=SENTENCE, page_limit=ALL)
    assert (len(whole["data"]), whole["has_more"], whole["next_page_token"]) == (ALL, False, None)
    found: list[dict[str, Any]] = []
    token = None
    while True:
        page = ask(client, query_text=SENTENCE, page_limit=7, page_token=token)
        found += page["data"]
        if not page["has_more"]:
            break
        token = page["next_page_token"]
    assert [hit | {"state": ""} for hit in found] == [hit | {"state": ""} for hit in whole["data"]]


def test_a_deeper_look_never_changes_what_was_shown(engine: SearchEngine) -> None:
    (first,), (deeper,) = engine.rank_many([SENTENCE], k=5), engine.rank_many([SENTENCE], k=30)
    turned = deeper._replace(rows=deeper.rows[::-1], judgements=deeper.judgements[::-1])
    both = first.before(turned)
    assert both.rows[:5] == first.rows
    assert len(both.rows) == len(both.judgements) == 30
    assert len({row.candidate.video_id for row in both.rows}) == 30


def test_gibberish_is_said_to_find_nothing(client: TestClient) -> None:
    found = ask(client, query_text="xqzvk wplmt", page_limit=3)
    assert found["verdict"] == "nothing found"
    assert found["num_confident"] == 0
    assert {hit["confidence"] for hit in found["data"]} == {"nothing found"}
    assert found["unknown_words"] == ["xqzvk", "wplmt"]
    asked = ("xqzvk wplmt", "people dancing at a wedding", "people dancing in a red circle")
    assert [ask(client, query_text=text)["understood"] for text in asked] == [False, False, True]


def test_a_caption_of_the_library_is_found_at_its_moment(client: TestClient, library: Path) -> None:
    lines = (library / "annotations" / "test.jsonl").read_text().splitlines()
    right = 0
    for line in lines:
        query = json.loads(line)
        best = ask(client, query_text=query["text"], page_limit=1)["data"][0]
        right += best["video_id"] == query["video_id"]
    assert right >= len(lines) / 2


@pytest.mark.parametrize(
    "filters, number",
    [
        ({"path": "w0001"}, 1),
        ({"path": "VIDEOS/*.webm"}, FILES),
        ({"tags": ["shapes"]}, FILES),
        ({"tags": ["shapes", "none"]}, 0),
        ({"after": "2000"}, FILES),
        ({"before": "2000"}, FEATURES_ONLY),
        ({"duration": {"gte": 0}}, ALL),
        ({"duration": {"lte": 0.5}}, 0),
        ({"path": "w0001", "tags": ["shapes"]}, 1),
    ],
)
def test_filters(client: TestClient, filters: dict[str, Any], number: int) -> None:
    found = ask(client, query_text=SENTENCE, filter=filters, page_limit=ALL)
    assert found["num_asked"] == len(found["data"]) == number
    assert found["num_videos"] == ALL
    if not number:
        assert found["verdict"] == "nothing found"


def test_both_ends_of_a_duration_count_as_inside(client: TestClient) -> None:
    videos = client.get("/v1/videos", params={"limit": 100}).json()["data"]
    seconds = videos[0]["duration_s"]
    found = ask(client, query_text=SENTENCE, filter={"duration": {"gte": seconds, "lte": seconds}}, page_limit=ALL)
    assert videos[0]["id"] in names(found)


def test_what_the_text_says_goes_before_the_filter(client: TestClient) -> None:
    found = ask(client, query_text=f"{SENTENCE} path:w0002", filter={"path": "w0001", "tags": ["shapes"]})
    assert names(found) == ["w0002.webm"]
    assert found["parsed"]["filters"]["path"] == "w0002"
    assert found["parsed"]["filters"]["tags"] == ["shapes"]


def test_how_a_query_was_understood(client: TestClient) -> None:
    text = "a red circle then a blue star within 10s -tree after:2021-06 longer:5m"
    parsed = ask(client, query_text=text)["parsed"]
    assert parsed["steps"] == ["a red circle", "a blue star"]
    assert parsed["within_s"] == [10.0]
    assert parsed["without"] == ["tree"]
    assert parsed["filters"] == {
        "path": None, "after": "2021-06-01", "before": None, "duration": {"gte": 300.0, "lte": None}, "tags": []
    }  # fmt: skip


def test_steps_in_order_as_the_engine_finds_them(client: TestClient, engine: SearchEngine) -> None:
    asked = Request(steps=("a red circle", "a star"), within_s=(20.0,), without=("a tree",))
    found = ask(
        client,
        sequence=[{"text": "a red circle"}, {"text": "a star", "within_s": 20}],
        negative=["a tree"],
        page_limit=5,
    )
    hits = engine.search(asked, k=5)
    assert names(found) == [hit.video_id for hit in hits]
    for told, hit in zip(found["data"], hits, strict=True):
        assert flat(told["steps"]) == pytest.approx([edge for span in hit.steps for edge in span], abs=1e-3)
    assert found["query"] == str(asked)


def test_a_hit_is_told_as_everywhere(client: TestClient, engine: SearchEngine) -> None:
    found = ask(client, query_text=f"{SENTENCE} then a star", page_limit=3)
    for told, hit in zip(found["data"], engine.search(f"{SENTENCE} then a star", k=3), strict=True):
        want = hit.as_dict()
        assert told.keys() > want.keys()
        for name in ("moments", "steps"):
            assert told[name] == [{"start": start, "end": end} for start, end in want[name]]
        for name in ("video_id", "start", "end", "duration_s", "confidence", "quote", "same_as"):
            assert told[name] == want[name]


def test_more_like_a_moment(client: TestClient, engine: SearchEngine) -> None:
    found = ask(client, like={"video_id": "w0003.webm", "start": 0, "end": 5}, page_limit=4, filter={"path": "w0"})
    hits = engine.search_like("w0003.webm", (0, 5), k=4, where=Where(path="w0"))
    assert names(found) == [hit.video_id for hit in hits]
    assert "w0003.webm" not in names(found)
    assert found["verdict"] == "not calibrated"
    rest = ask(
        client,
        like={"video_id": "w0003.webm", "start": 0, "end": 5},
        filter={"path": "w0"},
        page_token=found["next_page_token"],
    )
    assert len(rest["data"]) == FILES - 1 - 4
    assert not set(names(rest)) & set(names(found))


def picture_of(path: Path, second: int, suffix: str) -> bytes:
    """A second of a video, as the index saw it, as a picture file."""
    shot = next(iter(sample_frames(path, rate=1.0))).frames[second]
    frame = av.VideoFrame.from_ndarray(shot.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
    codec = av.CodecContext.create("mjpeg" if suffix == "jpg" else "png", "w")
    codec.width, codec.height = frame.width, frame.height
    codec.pix_fmt = "yuvj420p" if suffix == "jpg" else "rgb24"
    codec.time_base, codec.bit_rate = Fraction(1, 25), 50_000_000
    parts = (frame.reformat(format=codec.pix_fmt), None)
    return b"".join(bytes(packet) for part in parts for packet in codec.encode(part))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_picture_of_a_video_finds_it(client: TestClient, library: Path, suffix: str) -> None:
    query = read_queries(library / "annotations" / "test.jsonl")[0]
    second = int(sum(query.windows[0]) / 2)
    content = picture_of(library / "videos" / query.video_id, second, suffix)
    found = client.post("/v1/search/image?limit=3", content=content, headers={"content-type": f"image/{suffix}"})
    assert found.status_code == 200, found.text
    assert query.video_id in names(found.json())
    assert found.json()["verdict"] == "not calibrated"


def test_a_clip_leads_to_its_film(client: TestClient, library: Path) -> None:
    query = read_queries(library / "annotations" / "test.jsonl")[0]
    film = library / "videos" / query.video_id
    found = client.post("/v1/locate", content=film.read_bytes(), headers={"content-type": "video/webm"})
    assert found.status_code == 200, found.text
    best = found.json()["data"][0]
    assert (best["video_id"], best["mirrored"]) == (query.video_id, False)
    assert best["start"] == pytest.approx(0, abs=0.5)
    assert found.json()["unseen"] == []
    second = int(sum(query.windows[0]) / 2)
    picture = client.post("/v1/locate", content=picture_of(film, second, "jpg"))
    assert picture.json()["data"][0]["video_id"] == query.video_id
    assert picture.json()["data"][0]["start"] == pytest.approx(second, abs=1)


def test_what_is_neither_a_clip_nor_a_picture_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/locate", content=b"no film")
    assert answer.status_code == 400
    assert "the clip: is not a video" in answer.json()["error"]["message"]
    assert "/tmp" not in answer.json()["error"]["message"]


def test_feedback_moves_the_query(client: TestClient, engine: SearchEngine) -> None:
    plain = ask(client, query_text=SENTENCE, page_limit=ALL)
    assert ask(client, query_text=SENTENCE, page_limit=ALL, feedback={})["data"] == plain["data"]
    liked = plain["data"][6]
    span = {"video_id": liked["video_id"], "start": liked["start"], "end": liked["end"]}
    moved = ask(client, query_text=SENTENCE, page_limit=ALL, feedback={"positive": [span]})
    assert names(moved).index(liked["video_id"]) < 6
    assert moved["verdict"] == "not calibrated"
    first = plain["data"][0]
    span = {"video_id": first["video_id"], "start": first["start"], "end": first["end"]}
    away = ask(client, query_text=SENTENCE, page_limit=ALL, feedback={"negative": [span]})
    score = {hit["video_id"]: hit["score"] for hit in away["data"]}
    assert score[first["video_id"]] < first["score"]


def test_a_strip_is_that_of_the_hit(client: TestClient) -> None:
    for text in (SENTENCE, f"{SENTENCE} -tree", "a red circle then a star"):
        found = ask(client, query_text=text)
        hit = found["data"][0]
        scores = client.get(f"/v1/videos/{hit['video_id'].replace('/', '%2F')}/scores", params={"q": text}).json()
        assert scores["scores"] == hit["relevance"]
        assert scores["steps"] == hit["steps"]
        assert scores["range"] == found["relevance_range"]
        assert scores["step_s"] == 1.0
        if "then" in text:
            assert scores["moments"] == hit["moments"]


def test_a_video_too_short_for_the_steps_still_has_a_strip(client: TestClient) -> None:
    steps = " then ".join(f"a circle {i}" for i in range(8))
    short = client.get("/v1/videos/w0000.webm/scores", params={"q": steps})
    assert short.status_code == 200
    assert len(short.json()["scores"]) > 5


def test_why_is_what_the_engine_says(client: TestClient, engine: SearchEngine) -> None:
    for text in (SENTENCE, f'{SENTENCE} -tree path:"w0"', "a red circle then a star"):
        hit = ask(client, query_text=text)["data"][0]
        why = client.get(f"/v1/videos/{hit['video_id'].replace('/', '%2F')}/why", params={"q": text}).json()
        want = engine.why(text, hit["video_id"])
        assert [(word["word"], word["step"]) for word in why["words"]] == [(one.text, one.step) for one in want.words]
        assert [word["adds"] for word in why["words"]] == pytest.approx([one.adds for one in want.words], abs=1e-5)
        assert why["score"] == pytest.approx(want.score, abs=1e-5)
        assert (why["video_id"], why["query"], why["branches"]) == (hit["video_id"], text, None)
        assert all(hit["start"] <= at <= hit["end"] for at in why["at"])


def test_a_recalibration_by_another_process_is_seen(own: Path) -> None:
    home = ["a red circle", "a blue star"] * 200
    with asking(config_of(own)) as client:
        before = ask(client, query_text=SENTENCE, page_limit=1)
        home = [f"{sentence} {number}" for number, sentence in enumerate(home)]
        calibrate_folder(own, load_world_encoder(), home=home)
        after = ask(client, query_text=SENTENCE, page_limit=1)
        assert after["generation"] != before["generation"]
        assert after["data"][0]["p_instance"] != before["data"][0]["p_instance"]
        fresh = SearchEngine.open(own).search(SENTENCE, k=1)[0]
        assert after["data"][0]["p_instance"] == pytest.approx(fresh.p_instance)


def test_an_uncalibrated_library_says_so(mine: Path) -> None:
    from prvr.search.indexing import build_index

    build_index([mine / "videos"], mine, load_world_encoder())
    with asking(config_of(mine)) as client:
        found = ask(client, query_text=SENTENCE)
        assert found["verdict"] == "not calibrated"
        assert not client.get("/v1/libraries").json()["data"][0]["calibrated"]
