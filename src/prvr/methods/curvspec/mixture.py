"""CurvSpec's block: attention in flat space and on hyperboloids side by side, mixed anew at every place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from prvr.kernels.pieces import by_pieces
from prvr.methods.curvspec.hyperboloid import held, inner_products, lift, log_origin, midpoint, with_time
from prvr.methods.msc.mixture import mix
from prvr.parts.blocks import AfterWeights, AttentionBlocks, InputProjection, after_attention
from prvr.parts.dropout import Dropout, drop
from prvr.parts.gaussian import gaussian_tables
from prvr.parts.masked import key_bias

_ROWS = 2048  # tokens at a time on a CPU, and where activations are made again


class AfterAttention(nn.Module):
    """What follows attention: u = norm1(x + attended), norm2(u + feed-forward(u))."""

    def __init__(self, width: int, inner_width: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.up = nn.Linear(width, inner_width)
        self.down = nn.Linear(inner_width, width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, attended: Tensor) -> Tensor:
        """x, attended (..., D) -> (..., D)."""
        rate, layers = self.dropout.rate if self.training else 0.0, (self.norm1, self.up, self.down, self.norm2)
        w = AfterWeights(*(w[None] for layer in layers for w in (layer.weight, layer.bias)))
        before, found = (y.reshape(1, -1, y.shape[-1]) for y in (x.expand_as(attended), attended))
        return after_attention(before, found, w, dropout=rate).view_as(attended)


class LorentzMap(nn.Module):
    """Points -> other points, of several heads."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.linear = nn.Linear(width, width, bias=False)
        self.reach = nn.Parameter(torch.tensor(2.3))  # e to this is how far off a point can be
        self.dropout = Dropout(dropout)

    def forward(self, points: Tensor, k: Tensor) -> Tensor:
        """points (V, N, d) of -k -> (V, H, N, d/H) of -k. Dropout falls on the points, as released."""
        moved = torch.unflatten(self.linear(self.dropout(points)), -1, (self.num_heads, -1))
        return with_time(moved.transpose(1, 2), self.reach, k)


class LorentzAttention(nn.Module):
    """Attention by the Lorentz product of points, on a hyperboloid whose k is learned.

    k enters the time of points and the length of what the maps make of them; maps from and to flat space, and the
    midpoint, are those of k = 1. The logarithm takes the first head's time for that of all, and passes the times of the
    others on as numbers like any other. Both as released.
    """

    def __init__(self, width: int, tangent_width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.tangent_input = InputProjection(width, tangent_width, dropout)
        self.scale = nn.Parameter(torch.empty(()))  # ln of what tangents are multiplied by, 0 at most
        self.query, self.key, self.value = (LorentzMap(tangent_width + 1, num_heads, dropout) for _ in range(3))
        self.softness = nn.Parameter(torch.empty(1))  # of the softmax, one for all heads
        self.logit_bias = nn.Parameter(torch.empty(()))
        self.output = InputProjection(tangent_width, width, dropout)

    def forward(self, x: Tensor, k: Tensor, *, table: Tensor | None, bias: Tensor) -> Tensor:
        """x (V, N, D), table (N, N) multiplies logits, bias (V, N) is added to a key's, -inf = no key -> (V, N, D).

        In float32 at least: a Lorentz product is a difference of large numbers.
        """
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            scale = held(self.scale, -torch.inf, 0.0).exp()
            mean = self.mean(lift(scale * self.tangent_input(x), k), k, table=table, bias=bias)
            tangent = log_origin(midpoint(mean).transpose(1, 2).flatten(-2)) / scale.clamp(min=1e-8)
            out: Tensor = self.output(tangent)
            return out

    def mean(self, points: Tensor, k: Tensor, *, table: Tensor | None, bias: Tensor) -> Tensor:
        """What each place sees of all, before it is brought back to a hyperboloid: (V, N, d) -> (V, H, N, d/H)."""
        query, key, value = (part(points, k) for part in (self.query, self.key, self.value))
        logits = (2 + 2 * inner_products(query, key)) / self.softness + self.logit_bias
        logits = logits if table is None else logits * table
        mean: Tensor = (logits + bias[:, None, None]).softmax(-1) @ value
        return mean


class LorentzBlock(nn.Module):
    """A post-norm attention block on a hyperboloid."""

    def __init__(self, width: int, tangent_width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = LorentzAttention(width, tangent_width, num_heads, dropout)
        self.rest = AfterAttention(width, 4 * width, dropout)

    def forward(self, x: Tensor, k: Tensor, *, table: Tensor | None, bias: Tensor) -> Tensor:
        """x (V, N, D), table (N, N) multiplies logits, bias (V, N), -inf = no key -> (V, N, D)."""
        out: Tensor = self.rest(x, self.attention(x, k, table=table, bias=bias).to(x.dtype))
        return out


class ContentReader(nn.Module):
    """What all blocks made of a video on average reads each of them: a block with one query, and cross-attention."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.rest = AfterAttention(width, width, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, content: Tensor, sequence: Tensor, bias: Tensor) -> Tensor:
        """content (V, D), sequence (K, V, N, D), bias (V, N), -inf = not there -> (K, V, D).

        With a single query no key and no value is made: it is taken through the key matrix once, and the value matrix
        comes after the weighted mean.
        """
        heads = (self.num_heads, -1)
        query = torch.unflatten(self.query(content), -1, heads)  # (V, H, d)
        query = query / query.shape[-1] ** 0.5
        by_key = torch.einsum("vhd,hde->vhe", query, torch.unflatten(self.key.weight, 0, heads))
        # the key's bias is the same for all keys, which changes nothing; kept so that it has its (zero) gradient
        offset = torch.einsum("vhd,hd->vh", query, torch.unflatten(self.key.bias, 0, heads))
        logits = torch.einsum("vhe,kvne->kvhn", by_key, sequence) + (offset[..., None] + bias[:, None])
        shares = drop(logits.softmax(-1).to(sequence.dtype), self.dropout.rate if self.training else 0.0)
        mean = torch.einsum("kvhn,kvne->kvhe", shares, sequence)
        found = torch.einsum("kvhe,hde->kvhd", mean, torch.unflatten(self.value.weight, 0, heads))
        # dropped shares no longer sum to 1, and the value's bias is weighted by what is left of them
        found = found + shares.sum(-1, keepdim=True) * torch.unflatten(self.value.bias, 0, heads)
        out: Tensor = self.rest(content, found.flatten(-2))
        return out


class CurvedMixture(nn.Module):
    """Two blocks for each width, one flat and one on a hyperboloid; the video's content weighs them at every place.

    On a CPU some videos are taken at a time; with `checkpoint` activations are made again when gradients need them.
    """

    def __init__(
        self,
        width: int,
        tangent_width: int,
        num_heads: int,
        length: int,
        *,
        widths: Sequence[float | None],
        bounds: tuple[float, float],
        sft_factor: float,
        dropout: float,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.widths, self.bounds, self.sft_factor, self.checkpoint = tuple(widths), bounds, sft_factor, checkpoint
        self.flat = AttentionBlocks(len(self.widths), width, num_heads, dropout)
        self.curved = nn.ModuleList(LorentzBlock(width, tangent_width, num_heads, dropout) for _ in self.widths)
        self.k = nn.ParameterList(torch.ones(()) for _ in self.widths)  # one for each of those
        self.reader = ContentReader(width, num_heads, dropout)
        self.mix_hidden = nn.Linear(width, width)
        self.mix_out = nn.Linear(width, length)
        self.dropout = Dropout(dropout)
        self.tables: Tensor
        self.register_buffer("tables", gaussian_tables(length, widths), persistent=False)

    def forward(self, x: Tensor, valid: Tensor, counted: Tensor) -> Tensor:
        """x (V, N, D), valid (V, N) -> (V, N, D), zero where it is not valid.

        `counted` (V, N) are the places whose mean is the content.
        """
        mixed = partial(self._mixed, self.curvatures())
        if self.checkpoint:
            mixed = partial(checkpoint, mixed, use_reentrant=False)
        return by_pieces(mixed, x, valid, counted, rows=_ROWS, everywhere=self.checkpoint)

    def curvatures(self) -> Tensor:
        """k of each curved block, within its bounds -> (K,)."""
        return held(torch.stack(list(self.k)), *self.bounds)

    def outputs(self, x: Tensor, k: Tensor, valid: Tensor) -> Tensor:
        """What each block makes of x (V, N, D), flat ones first, curved ones with k (K,) -> (2K, V, N, D)."""
        bias, tables = key_bias(valid), self.tables[:, : x.shape[1], : x.shape[1]]
        flat = self.flat(x, table=tables, bias=bias)
        parts = zip(self.curved, k, self.widths, tables, strict=True)
        curved = [
            block(x, one, table=None if width is None else table, bias=bias) for block, one, width, table in parts
        ]
        return torch.cat([flat, torch.stack(curved)])

    def content(self, outputs: Tensor, counted: Tensor) -> Tensor:
        """The mean of all blocks over all places that count -> (V, D)."""
        weight = counted.to(outputs.dtype)
        return torch.einsum("vnd,vn->vd", outputs.mean(0), weight) / weight.sum(1, keepdim=True)

    def weights(self, content: Tensor, outputs: Tensor, valid: Tensor) -> Tensor:
        """How much each block counts at every place -> (2K, V, N), which sum to 1 over the blocks."""
        num_places = outputs.shape[2]
        hidden = self.dropout(F.relu(self.mix_hidden(self.reader(content, outputs, key_bias(valid)))))
        logits = F.linear(hidden, self.mix_out.weight[:num_places], self.mix_out.bias[:num_places])
        return (logits / self.sft_factor).softmax(0)

    def _mixed(self, k: Tensor, x: Tensor, valid: Tensor, counted: Tensor) -> Tensor:
        outputs = self.outputs(x, k, valid)
        weights = self.weights(self.content(outputs, counted), outputs, valid)
        return mix(outputs, weights) * valid[..., None]
