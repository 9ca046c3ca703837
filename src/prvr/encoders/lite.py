"""EfficientNet-Lite0: a small classifier of pictures into the thousand classes of ImageNet (Tan and Le, 2019).

Written here because the package of its authors prints, and pads for whatever size it is told of. Normalisation is
folded into the convolutions, so that what runs is convolutions and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = (224, 224)  # height, width in pixels: padding is that of even sizes
CLASSES = 1000
EPSILON = 1e-3  # of the normalisation
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)  # of the sixteen blocks


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Widen, look around each place, narrow; what comes in is added where the shapes agree."""

    widen: nn.Conv2d | None
    look: nn.Conv2d
    narrow: nn.Conv2d

    def __call__(self, x: Tensor) -> Tensor:
        """(B, before, h, w) -> (B, after, h / stride, w / stride)."""
        wide = F.relu6(self.widen(x)) if self.widen else x
        y: Tensor = self.narrow(F.relu6(_same(self.look, wide)))
        return x + y if x.shape == y.shape else y


class LiteNet(nn.Module):
    """The network with its weights, frozen."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Weights as the released file names them. Raises KeyError or RuntimeError where they are not those."""
        super().__init__()
        self.stem = _folded(weights, "_conv_stem", "_bn0", stride=2)
        self.layers = nn.ModuleList()
        self._blocks = []
        for number, stride in enumerate(STRIDES):
            at, widens = f"_blocks.{number}", number > 0
            block = _Block(
                widen=_folded(weights, f"{at}._expand_conv", f"{at}._bn0") if widens else None,
                look=_folded(weights, f"{at}._depthwise_conv", f"{at}._bn1", stride=stride),
                narrow=_folded(weights, f"{at}._project_conv", f"{at}._bn2"),
            )
            self.layers.extend(layer for layer in (block.widen, block.look, block.narrow) if layer)
            self._blocks.append(block)
        self.head = _folded(weights, "_conv_head", "_bn1")
        self.classify = nn.Linear(self.head.out_channels, CLASSES)
        self.classify.load_state_dict({"weight": weights["_fc.weight"], "bias": weights["_fc.bias"]})
        self.eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as CPUs compute it fastest

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, 224, 224) -> logits (B, 1000)."""
        x = F.relu6(_same(self.stem, images.contiguous(memory_format=torch.channels_last)))
        for block in self._blocks:
            x = block(x)
        out: Tensor = self.classify(F.relu6(self.head(x)).mean(dim=(2, 3)))
        return out


def _folded(weights: Mapping[str, Tensor], name: str, norm: str, *, stride: int = 1) -> nn.Conv2d:
    """A convolution and the normalisation after it as one convolution."""
    weight = weights[f"{name}.weight"]  # (out, in / groups, k, k)
    scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + EPSILON).sqrt()  # (out,)
    out, inner, size, _ = weight.shape
    groups = out if inner == 1 else 1
    made = nn.Conv2d(inner * groups, out, size, stride, padding=size // 2 if stride == 1 else 0, groups=groups)
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    made.load_state_dict({"weight": weight * scale[:, None, None, None], "bias": bias})
    return made


def _same(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Padded as TensorFlow does: an even size and stride 2 lack k - 2 pixels, the odd one on the right and below."""
    if layer.stride[0] == 2:
        lacking = layer.kernel_size[0] - 2
        before, after = lacking // 2, lacking - lacking // 2
        x = F.pad(x, (before, after, before, after))
    y: Tensor = layer(x)
    return y
