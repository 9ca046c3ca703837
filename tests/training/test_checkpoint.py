from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from prvr.core.errors import CheckpointError
from prvr.core.weights import load_weights, put_weights, read_metadata, save_weights, tensor_bytes
from prvr.parts.bert_adam import BertAdam
from prvr.training.checkpoint import load_state, read_notes, restore, save_state
from tests.fresh import Fresh

OPTIMIZERS: dict[str, Callable[[Iterator[nn.Parameter]], Optimizer]] = {
    "BertAdam": lambda p: BertAdam(p, lr=0.1, total_steps=9),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.1),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
}


class Tied(nn.Module):
    """Two names for one tensor, a buffer, and a tensor that never gets a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("count", torch.tensor(5))
        self.idle = nn.Parameter(torch.ones(2, 3).T)  # not contiguous

    def step(self, optimizer: Optimizer) -> None:
        optimizer.zero_grad()
        loss = self.second(self.first(torch.eye(3)).tanh()).square().sum()
        torch.autograd.backward(loss)
        optimizer.step()


def test_weights_and_metadata_come_back(tmp_path: Path) -> None:
    model = Tied()
    save_weights(tmp_path / "m.safetensors", model.state_dict(), {"recipe": "a:b", "sentence": 'ü "1"'})
    weights, metadata = load_weights(tmp_path / "m.safetensors")
    assert metadata == read_metadata(tmp_path / "m.safetensors") == {"recipe": "a:b", "sentence": 'ü "1"'}
    other = Tied()
    put_weights(other, weights, where="m")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def test_the_same_makes_the_same_bytes() -> None:
    """safetensors itself writes the texts of its header in another order each time."""
    tensors = {"b": torch.arange(3), "a": torch.ones(2, 2), "ü": torch.zeros(0)}
    texts = {name: name * 3 for name in ("recipe", "epoch", "settings", "Ü", "features", "notes")}
    made = {tensor_bytes(dict(tensors), dict(reversed(texts.items()))) for _ in range(8)} | {
        tensor_bytes(tensors, texts)
    }
    (content,) = made
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in load(content).items())
    assert int.from_bytes(content[:8], "little") % 8 == 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_going_on_gives_the_same_bits(tmp_path: Path, name: str) -> None:
    model = Tied()
    optimizer = OPTIMIZERS[name](model.parameters())
    for _ in range(3):
        model.step(optimizer)
    save_state(tmp_path / "s", model, optimizer, {"epoch": 3, "best": [1.5, None]})
    assert read_notes(tmp_path / "s") == {"epoch": 3, "best": [1.5, None]}
    again = Tied()
    fresh = OPTIMIZERS[name](again.parameters())
    restore(load_state(tmp_path / "s"), again, fresh, where="s")
    for _ in range(3):
        model.step(optimizer)
        again.step(fresh)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_another_model_or_optimiser_is_refused(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    loss: Tensor = model(torch.ones(3)).sum()
    torch.autograd.backward(loss)
    optimizer.step()
    save_state(tmp_path / "s", model, optimizer, {})
    state = load_state(tmp_path / "s")
    with pytest.raises(
        CheckpointError, match=r"run: holds the weights of another model \(weight is \(2, 3\), exp.*4, 3"
    ):
        put_weights(nn.Linear(3, 4, bias=False), {"weight": state.weights["weight"]}, where="run")
    with pytest.raises(CheckpointError, match=r"bias is \(2,\), expected none"):
        put_weights(nn.Linear(3, 2, bias=False), state.weights, where="run")
    with pytest.raises(CheckpointError, match=r"bias is not there, expected \(2,\)"):
        put_weights(model, {"weight": state.weights["weight"]}, where="run")
    groups: list[dict[str, Any]] = [{"params": [model.weight]}, {"params": [model.bias]}]
    two = torch.optim.AdamW(groups)
    with pytest.raises(CheckpointError, match="run: was saved with another optimiser"):
        restore(state, model, two, where="run")
    with pytest.raises(CheckpointError, match="run: was saved with another optimiser"):
        restore(state, model, torch.optim.AdamW([model.bias]), where="run")


def test_damaged_foreign_and_missing_files_are_one_line(tmp_path: Path) -> None:
    good = tmp_path / "good"
    save_weights(good, nn.Linear(30, 20).state_dict(), {})
    whole = good.read_bytes()
    for size in (0, 5, 60, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"cut: the weights cannot be read \(.*copy, or train into") as caught:
            load_weights(tmp_path / "cut")
        assert "\n" not in str(caught.value)
    (tmp_path / "text").write_text("these are no weights at all")
    save_file({"w": torch.ones(1)}, tmp_path / "foreign")
    for name, reason in (("text", "cannot be read"), ("foreign", "is no file of weights"), (".", "cannot be read")):
        with pytest.raises(CheckpointError, match=reason):
            load_weights(tmp_path / name)
    with pytest.raises(CheckpointError, match="good: is no file of state that this prvr wrote"):
        load_state(good)
    with pytest.raises(CheckpointError, match=r"none/m: there is no such file; train with `prvr train RECIPE --data"):
        load_weights(tmp_path / "none" / "m")


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m"
    save_weights(path, {"w": torch.ones(3)}, {})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match=r"m: cannot be written \(No space left on device\); what was there"):
        save_weights(path, {"w": torch.zeros(3)}, {})
    assert load_weights(path)[0]["w"].tolist() == [1, 1, 1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_a_kill_in_the_middle_of_writing_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "m"
    save_weights(path, {"w": torch.ones(3)}, {})
    code = f"""
import os, signal, torch
from pathlib import Path
from prvr.core.weights import save_weights
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # the bytes are written, the name is not yet given
save_weights(Path({str(path)!r}), {{"w": torch.zeros(3)}}, {{}})
"""
    with Fresh(code) as killed:
        assert killed.wait() == -9
    assert load_weights(path)[0]["w"].tolist() == [1, 1, 1]
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
