from __future__ import annotations

import ctypes

import pytest
import torch

from prvr.kernels import products
from prvr.kernels.products import product, rounded


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


def test_questions_of_every_length_take_no_memory_for_each() -> None:
    """oneDNN never forgets a number of rows; here it meets a tenth of them, and finds the same."""
    look = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if look is None or not products._ONEDNN:
        pytest.skip("needs glibc and a processor whose products oneDNN makes")
    look.restype = Heap
    weight = torch.randn(1, 136, 72)  # of a size that nothing else has
    before = look().used
    with torch.inference_mode():
        for rows in range(1, 301):
            x = torch.randn(1, rows, 72)
            torch.testing.assert_close(product(x, weight), x @ weight.mT)
    assert look().used - before < 8e6
    assert [rounded(rows) for rows in (0, 1, 3, 10, 64, 65, 300)] == [1, 1, 4, 16, 64, 128, 320]


def test_double_precision_is_kept() -> None:
    x, weight = torch.randn(1, 7, 5, dtype=torch.float64), torch.randn(1, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(product(x, weight), x @ weight.mT, rtol=1e-14, atol=1e-14)
