"""What a library holds, at one commit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from prvr.runs.runs import zero_shot

from prvr.core.types import Bank, Hit, Query
from prvr.data.annotations import write_queries
from prvr.encoders.world import load_world_encoder
from prvr.index.base import ZERO_SHOT, Facts, IndexHeader, Where
from prvr.index.embedded import EmbeddedIndex
from prvr.index.exact import ExactIndex
from prvr.search.engine import SearchEngine
from prvr.search.holdings import examples, holdings, opening


def filled(folder: Path) -> SearchEngine:
    encoder = load_world_encoder()
    header = IndexHeader(encoder=encoder.spec, model=ZERO_SHOT, width=encoder.spec.width, clip_weight=0.0)
    index = EmbeddedIndex.create(folder, header)
    for number, name in enumerate(["b.mp4", "a.mp4", "c.mp4"]):
        tokens = torch.nn.functional.normalize(torch.randn(3, header.width), dim=1)
        bank = Bank(tokens, torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]), 3)
        facts = Facts(path=f"videos/{name}", duration_s=3.0 + number, modified=float(number), tags=("x", name))
        index.add(name, bank, version=name, facts=facts if name != "c.mp4" else Facts(duration_s=9.0))
    index.save(folder)
    return SearchEngine(index, folder, encoder, zero_shot(encoder.spec))


def test_what_there_is(tmp_path: Path) -> None:
    engine = filled(tmp_path)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").touch()
    found = holdings(engine)
    assert list(found.facts) == ["a.mp4", "b.mp4", "c.mp4"]
    assert found.facts == {name: engine.index.facts(name) for name in found.facts}
    assert found.facts["a.mp4"].tags == ("x", "a.mp4")
    assert (found.model, found.calibrated, found.num_bytes > 0) == ("zero-shot", False, True)
    assert found.file("a.mp4") == tmp_path / "videos" / "a.mp4"
    assert found.file("c.mp4") is None
    assert found.gone() == {"b.mp4": "videos/b.mp4"}
    assert found.meant(None) == 3
    assert found.meant(Where(tags=("x",))) == 2
    exact = ExactIndex.open(tmp_path)
    assert holdings(SearchEngine(exact, tmp_path, engine.encoder, engine.trained)).facts == found.facts


def test_a_commit_is_another_generation(tmp_path: Path) -> None:
    engine = filled(tmp_path)
    reader = SearchEngine(EmbeddedIndex.open(tmp_path), tmp_path, engine.encoder, engine.trained)
    seen = [reader.generation]
    engine.index.put_note("n", "1")
    seen.append(reader.generation)
    engine.index.put_bias({"a.mp4": 0.5})
    seen.append(reader.generation)
    engine.index.remove("a.mp4")
    seen.append(reader.generation)
    assert len(set(seen)) == 4
    assert reader.generation == seen[-1]
    assert "a.mp4" not in holdings(reader).facts


@pytest.mark.parametrize("place", [".", ".."])
def test_sentences_that_a_library_can_answer(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "index"
    folder.mkdir()
    known = {f"{number}.mp4": Facts() for number in range(10)}
    assert examples(folder, known) == ()
    queries = [
        Query(query_id=f"{number}-{turn}", video_id=f"{number}.mp4", text=f"text {number} {turn}")
        for number in range(20)
        for turn in range(2)
    ]
    write_queries(folder / place / "annotations" / "test.jsonl", queries)
    assert examples(folder, known) == tuple(f"text {number} 1" for number in (0, 1, 3, 5, 6, 8))
    assert examples(folder, {"3.mp4": Facts()}) == ("text 3 1",)
    (folder / place / "annotations" / "test.jsonl").write_text("no annotations")
    assert examples(folder, known) == ()


def test_the_page_begins_with_the_first_caption_that_stands_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = filled(tmp_path)
    held = holdings(engine)
    assert opening(engine, held) == ""
    texts = {"a.mp4": "a red circle", "b.mp4": "a blue star", "c.mp4": "a green ring"}
    queries = [Query(query_id=name, video_id=name, text=text) for name, text in texts.items()]
    write_queries(tmp_path / "annotations" / "test.jsonl", queries)
    assert opening(engine, held) == "a red circle"  # nothing is known of how sure an answer is
    search, words = engine.search, iter(("nothing found", "related", "confident"))

    def judged(asked: str, *, k: int) -> list[Hit]:
        return [replace(search(asked, k=k)[0], confidence=next(words))]

    monkeypatch.setattr(engine, "search", judged)
    assert opening(engine, held) == "a blue star"
