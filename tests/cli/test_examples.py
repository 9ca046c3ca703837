"""Every program in examples/ does what its first line says, on the small library that all tests share."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from prvr.core.types import BranchScores
from prvr.methods.recipe import load_recipe
from tests.methods.make import batch as some_batch
from tests.methods.make import network

EXAMPLES = Path(__file__).parents[2] / "examples"
ASKED = "a red circle moves"


def loaded(name: str) -> ModuleType:
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_in_the_list_and_tested() -> None:
    here = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")}
    said = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"[{name}]({name})" in said for name in here)
    assert here == {"search_folder.py", "hand_to_editor.py", "new_loss.py", "score_over_time.ipynb"}


def test_a_folder_is_searched_and_its_moments_are_handed_to_an_editor(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--index", str(own), "--encoder", "world"]
    loaded("search_folder").main([str(own / "videos"), ASKED, "a star", *place])
    said = capsys.readouterr().out
    assert said.count(" s  0.") >= 4
    assert f"\n{ASKED}\n" in said
    written = loaded("hand_to_editor").main([str(own / "videos"), ASKED, str(own / "red.fcpxml"), *place])
    clips = ElementTree.parse(written).getroot().findall(".//spine/asset-clip")
    assert len(clips) >= 3


def test_the_notebook_draws_the_score_of_every_second(own: Path) -> None:
    """Its cells as Python, in order; the first says where the videos are, so the test does."""
    book = json.loads((EXAMPLES / "score_over_time.ipynb").read_text(encoding="utf-8"))
    first, *cells = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    known: dict[str, Any] = {}
    exec(first, known)
    assert {"videos", "index", "question"} <= known.keys()
    known |= {"videos": own / "videos", "index": own, "question": ASKED}
    for cell in cells:
        exec(cell, known)
    assert [len(axis.lines[0].get_xdata()) for axis in known["figure"].axes] == [
        len(hit.relevance) for hit in known["hits"]
    ]
    assert not any(cell.get("outputs") for cell in book["cells"]), "committed without what it printed"


def test_the_new_term_is_what_it_says_and_is_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: the first query is 0.3 ahead, the second 0.2 behind, so it lacks 0.3 of the margin."""
    clip = torch.tensor([[0.9, 0.6, 0.1], [0.2, 0.3, 0.5]])
    seen, batch = SimpleNamespace(cosine=BranchScores(clip, clip)), SimpleNamespace(video_of_query=torch.tensor([0, 1]))
    assert float(loaded("new_loss").stand_out(seen, batch, 0)) == pytest.approx(0.15)
    monkeypatch.syspath_prepend(EXAMPLES)
    recipe = load_recipe("new_loss:world")
    assert recipe.objective is not None
    model, given = network(), some_batch()
    learned = recipe.objective(recipe.settings)(model.embed(given), given, 0)
    assert learned.terms["stand_out"] > 0
    learned.total.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in model.parameters())
