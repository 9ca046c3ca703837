from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from prvr.kernels.pieces import by_pieces
from prvr.kernels.switch import enabled, twin_of, without_kernels


def fast(x: int) -> str:
    return f"fast {x}"


@twin_of(fast)
def slow(x: int) -> str:
    """What is read."""
    return f"slow {x}"


def test_a_block_without_kernels() -> None:
    assert slow.__doc__ == "What is read."
    assert (enabled(), slow(1)) == (True, "fast 1")
    first, second = without_kernels(), without_kernels()
    first.__enter__()
    assert (enabled(), slow(x=2)) == (False, "slow 2")
    second.__enter__()
    first.__exit__(None, None, None)  # as two threads may leave in any order
    assert not enabled()
    second.__exit__(None, None, None)
    assert enabled()
    with pytest.raises(ValueError, match="wrong"), without_kernels():
        raise ValueError("wrong")
    assert enabled()


@pytest.mark.parametrize(("value", "said"), [("0", "False"), ("1", "True"), ("off", "PRVR_KERNELS=off: is 1")])
def test_a_process_without_kernels(value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRVR_KERNELS", value)
    code = "from prvr.kernels.switch import enabled; print(enabled())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said in done.stdout + done.stderr


def test_pieces_are_put_together_again() -> None:
    seen: list[int] = []

    def add(x: Tensor, y: Tensor | None, z: Tensor | None) -> Tensor:
        assert y is None
        assert z is not None
        seen.append(len(x))
        return torch.stack([x + z, x - z])

    x, z = torch.randn(5, 4, 3), torch.randn(5, 1, 1)
    for rows, sizes in ((8, [2, 2, 1]), (11, [2, 2, 1]), (3, [1] * 5), (20, [5]), (2048, [5])):
        seen.clear()
        assert torch.equal(by_pieces(add, x, None, z, rows=rows, dim=1), torch.stack([x + z, x - z]))
        assert seen == sizes
    assert by_pieces(add, x[:0], None, z[:0], rows=8, dim=1).shape == (2, 0, 4, 3)
