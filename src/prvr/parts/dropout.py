"""Dropout, drawn a byte an element."""

from __future__ import annotations

from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.kernels import dropout as kernels
from prvr.kernels.switch import twin_of


@twin_of(kernels.drop)
def drop(x: Tensor, rate: float) -> Tensor:
    """x with a share `rate` of its elements set to zero and the rest scaled up; any shape.

    The rate is rounded to a multiple of 1/256, what a random byte can say.
    """
    return x * kernels.keep_mask(tuple(x.shape), rate, x.device) * kernels.keep_scale(rate) if rate else x


class Dropout(nn.Module):
    """`drop` while training, nothing otherwise."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = check_rate(rate, "dropout")

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return drop(x, self.rate) if self.training else x

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"rate={self.rate}, applied as {kernels.applied_rate(self.rate):.6g}"


def check_rate(rate: float, name: str) -> float:
    """The rate itself. Raises ConfigError unless it is from 0 to below 1."""
    if not 0 <= rate < 1:
        raise ConfigError(f"{name}={rate}: a dropout rate is from 0 to below 1")
    return rate
