"""What a library holds, at one commit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from prvr.core.facts import Facts, Where
from prvr.core.types import Bank
from prvr.encoders.world import load_world_encoder
from prvr.index.base import ZERO_SHOT, IndexHeader
from prvr.index.embedded import EmbeddedIndex
from prvr.index.exact import ExactIndex
from prvr.ranker.ranker import zero_shot
from prvr.search.engine import SearchEngine
from prvr.search.readings import NOTE
from prvr.service.holdings import holdings
from prvr.video.probe import READING


def filled(folder: Path) -> SearchEngine:
    encoder = load_world_encoder()
    header = IndexHeader(encoder=encoder.spec, model=ZERO_SHOT, width=encoder.spec.width, clip_weight=0.0)
    index = EmbeddedIndex.create(folder, header)
    for number, name in enumerate(["b.mp4", "a.mp4", "c.mp4"]):
        tokens = torch.nn.functional.normalize(torch.randn(3, header.width), dim=1)
        bank = Bank(tokens, torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]), 3)
        facts = Facts(path=f"videos/{name}", duration_s=3.0 + number, modified=float(number), tags=("x", name))
        index.add(name, bank, version=name, facts=facts if name != "c.mp4" else Facts(duration_s=9.0))
    index.put_note(NOTE, str(READING))
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
    exact = holdings(SearchEngine(ExactIndex.open(tmp_path), tmp_path, engine.encoder, engine.trained))
    assert (exact.facts, exact.num_bytes, exact.problems) == (found.facts, 0, ())


def test_a_commit_is_another_generation(tmp_path: Path) -> None:
    engine = filled(tmp_path)
    reader = SearchEngine(EmbeddedIndex.open(tmp_path), tmp_path, engine.encoder, engine.trained)
    seen = [reader.generation]
    engine.index.put_note("n", "1")
    seen.append(reader.generation)
    engine.index.remove("b.mp4")
    seen.append(reader.generation)
    engine.index.remove("a.mp4")
    seen.append(reader.generation)
    assert len(set(seen)) == 4
    assert reader.generation == seen[-1]
    assert "a.mp4" not in holdings(reader).facts


def test_how_videos_are_listed_and_named(tmp_path: Path) -> None:
    held = holdings(filled(tmp_path))
    assert held.listed() == ["c.mp4", "a.mp4", "b.mp4"]  # by path, where there is one
    assert held.listed(order="newest") == ["a.mp4", "b.mp4", "c.mp4"]
    assert held.listed(order="longest") == ["c.mp4", "a.mp4", "b.mp4"]
    assert held.listed(path="VIDEOS/[ab]*", of={"b.mp4", "c.mp4"}) == ["b.mp4"]
    elsewhere = replace(held, facts={"x/y.mp4": Facts(path="/films/z.mp4"), "w": Facts(path="below/v.mp4")})
    assert [elsewhere.name(one) for one in elsewhere.facts] == ["z.mp4", "v.mp4"]
    assert [elsewhere.path(one) for one in elsewhere.facts] == ["x/y.mp4", "below/v.mp4"]
