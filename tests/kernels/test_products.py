from __future__ import annotations

import ctypes

import pytest
import torch

from prvr.kernels import products
from prvr.kernels.products import linear, product, rounded


class Heap(ctypes.Structure):
    """What glibc says of its heaps (mallinfo2)."""

    _fields_ = [(f"n{i}", ctypes.c_size_t) for i in range(7)] + [("used", ctypes.c_size_t), ("free", ctypes.c_size_t)]
    _fields_ += [("top", ctypes.c_size_t)]


@pytest.mark.parametrize("num", [1, 3])
@pytest.mark.parametrize("onednn", [True, False])
def test_products_of_matrices_and_of_their_views(num: int, onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_ONEDNN", onednn and hasattr(torch.ops.mkldnn, "_linear_pointwise"))
    x, weight, bias = torch.randn(num, 70, 33), torch.randn(num, 21, 33), torch.randn(num, 21)
    want = torch.stack([one @ other.T for one, other in zip(x, weight, strict=True)])
    torch.testing.assert_close(product(x, weight), want)
    shifted = want + bias[:, None]
    torch.testing.assert_close(product(x, weight, bias), shifted)
    torch.testing.assert_close(product(x, weight, bias, relu=True), shifted.clamp(min=0))
    other = torch.randn(num, 70, 21)
    torch.testing.assert_close(product(other.mT, x.mT), other.mT @ x)  # views of either side
    torch.testing.assert_close(product(x, weight.mT.contiguous().mT), want)
    torch.testing.assert_close(product(x[:, ::2, :10], weight[..., :10]), x[:, ::2, :10] @ weight[..., :10].mT)


@pytest.mark.parametrize("learning", [False, True])
def test_every_number_of_rows_takes_no_memory_for_each(learning: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN never forgets a number of rows, or of summands; here it meets a tenth of them, and finds the same."""
    look = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if look is None or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("needs glibc and oneDNN")
    monkeypatch.setattr(products, "_ONEDNN", True)
    look.restype = Heap
    weight = torch.randn(1, 136, 72, requires_grad=learning)  # of a size that nothing else has
    before = look().used
    for rows in range(1, 301):
        x = torch.randn(1, rows, 72, requires_grad=learning)
        with torch.inference_mode(not learning):
            found = linear(x, weight, torch.zeros(1, 136)) if learning else product(x, weight)
        torch.testing.assert_close(found, x @ weight.mT)
        if learning:
            ours = torch.autograd.grad(found, (x, weight), flow := torch.randn_like(found))
            torch.testing.assert_close(
                ours, torch.autograd.grad(x @ weight.mT, (x, weight), flow), rtol=1e-4, atol=1e-4
            )
    assert look().used - before < (24e6 if learning else 8e6)  # of three products, or of one


def test_rows_are_rounded_up_to_few_numbers() -> None:
    assert [rounded(rows) for rows in (0, 1, 3, 10, 64, 65, 300, 1025)] == [1, 1, 4, 16, 64, 128, 320, 1152]
    assert all(rounded(2**k) == 2**k for k in range(20))
    few = {rounded(rows) for rows in range(1, 2**15 + 1)}
    assert len(few) == 7 + 15 + 5 * 8  # to 64, to 1024, and eight a doubling
    assert all(rounded(rows) == rows for rows in few)
    assert max(rounded(rows) / rows for rows in range(1024, 2**15)) < 1.13


def test_double_precision_is_kept() -> None:
    x, weight = torch.randn(1, 7, 5, dtype=torch.float64), torch.randn(1, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(product(x, weight), x @ weight.mT, rtol=1e-14, atol=1e-14)
