"""The slow, readable forms that the fast ones are measured against: one block, one video, one pair at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.types import Batch, Made, QueryBatch, VideoTokens
from prvr.methods.msc.network import Aligned, MixtureConfig
from prvr.methods.msc.prepare import MSCVideos


def loop_average(features: Tensor, positions: int) -> Tensor:
    n = len(features)
    edges = [min(round(i * n / positions), n - 1) for i in range(positions + 1)]
    rows = [features[a:b].mean(0) if a < b else features[a] for a, b in pairwise(edges)]
    return torch.stack(rows)


def loop_merge(x: Tensor, size: Tensor, drop: int) -> tuple[Tensor, Tensor, Tensor]:
    """One step of order-preserving merging, (N, D) of one video, alike by dot product."""
    pairs = [(float(x[i] @ x[i + 1]), i) for i in range(0, len(x), 2)]
    chosen = {i for _, i in sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:drop]}
    tokens: list[Tensor] = []
    sizes: list[Tensor] = []
    slot: list[int] = []
    for i in range(0, len(x), 2):
        if i in chosen:
            total = size[i] + size[i + 1]
            tokens.append((size[i] * x[i] + size[i + 1] * x[i + 1]) / total)
            sizes.append(total)
            slot += [len(tokens) - 1] * 2
        else:
            for j in (i, i + 1):
                tokens.append(x[j])
                sizes.append(size[j])
                slot.append(len(tokens) - 1)
    return torch.stack(tokens), torch.stack(sizes), torch.tensor(slot)


def loop_connected_share(clips: Tensor, threshold: float) -> float:
    """Flood fill from every clip of one video, (C, E)."""
    unit = F.normalize(clips, dim=-1)
    alike = (unit @ unit.T > threshold).tolist()
    joined = 0
    for start in range(len(clips)):
        seen, queue = {start}, [start]
        while queue:
            here = queue.pop()
            for other in range(len(clips)):
                if other not in seen and alike[here][other]:
                    seen.add(other)
                    queue.append(other)
        joined += len(seen) - 1
    return joined / (len(clips) * (len(clips) - 1))


def loop_bipartite(x: Tensor, size: Tensor, target: int) -> list[list[int]]:
    """Which tokens end up together, for one video (N, D), in the order of the tokens that come out."""
    unit = F.normalize(x, dim=-1)
    alike = (unit @ unit.T).tolist()
    pairs = [(-alike[a][b], a, b) for a in range(0, len(x), 2) for b in range(1, len(x), 2)]
    partner: dict[int, int] = {}
    for _, a, b in sorted(pairs):
        if len(partner) < len(x) - target and a not in partner and b not in partner.values():
            partner[a] = b
    gone = set(partner.values())
    return [[i, partner[i]] if i in partner else [i] for i in range(len(x)) if i not in gone]


def loop_segments(clips: Tensor, frozen: Tensor, size: Tensor, levels: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Clips (C, M) of one video merged level by level by frozen features (C, E) -> (S, M), the segment of each (C,)."""
    members = [[i] for i in range(len(clips))]
    for target in levels:
        groups = loop_bipartite(frozen, size, target)
        clips, frozen = (
            torch.stack([(size[group, None] * x[group]).sum(0) / size[group].sum() for group in groups])
            for x in (clips, frozen)
        )
        size = torch.stack([size[group].sum() for group in groups])
        members = [[i for one in group for i in members[one]] for group in groups]
    segment = {i: s for s, group in enumerate(members) for i in group}
    return clips, torch.tensor([segment[i] for i in range(len(segment))])


def loop_cbva(frames: Tensor, clips: Tensor, videos: MSCVideos, threshold: float, levels: Sequence[int]) -> Tensor:
    """As released: one video after the other, and everything that its frozen features decide anew in every step.

    frames (V, T, M), clips (V, C, M) aligned tokens -> (V,).
    """
    losses = []
    for v in range(len(frames)):
        frozen = videos.clips[v]
        steps = sum(loop_connected_share(frozen, threshold) >= k / len(levels) for k in range(1, len(levels)))
        segments, segment = loop_segments(clips[v], frozen, videos.clip_size[v], levels[1 : steps + 1])
        own = segment[videos.slot[v], None] == torch.arange(len(segments))  # (T, S)
        both = []
        for sims, dim in ((frames[v] @ segments.detach().T, 1), (frames[v].detach() @ segments.T, 0)):
            powers = (sims - sims.amax(dim, keepdim=True).detach()).exp()
            right = (powers * own).sum(dim) / own.sum(dim)
            wrong = (powers * ~own).sum(dim) / (~own).sum(dim)
            both.append(-(right / (right + wrong)).log().mean())
        losses.append(torch.stack(both).sum())
    return torch.stack(losses)


def loop_gaussian(length: int, width: float) -> Tensor:
    """(length, length), each row's largest entry 1."""
    sigma = width / 9
    rows, columns = torch.arange(length) / length, torch.arange(length) / (length - 1)
    table = torch.exp(-((columns - rows[:, None]) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
    return table / table.amax(1, keepdim=True)


class LoopAttention(nn.Module):
    """Multi-head attention as the textbook has it."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor, y: Tensor, table: Tensor | None, bias: Tensor) -> Tensor:
        def heads(z: Tensor) -> Tensor:
            return z.view(*z.shape[:2], self.num_heads, -1).transpose(1, 2)  # (V, H, N, d)

        query, key, value = heads(self.query(x)), heads(self.key(y)), heads(self.value(y))
        logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        if table is not None:
            logits = logits * table
        probs = self.dropout((logits + bias[:, None, None]).softmax(-1))
        out: Tensor = (probs @ value).transpose(1, 2).flatten(2)
        return out


class LoopFeedForward(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.layer1, self.layer2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer2(self.dropout(F.relu(self.layer1(x))))
        return out


class LoopBlock(nn.Module):
    """One attention block; `inner` is the width of its feed-forward part."""

    def __init__(self, width: int, num_heads: int, inner: int) -> None:
        super().__init__()
        self.add_module("self", LoopAttention(width, num_heads))
        self.norm1, self.output, self.norm2 = nn.LayerNorm(width), LoopFeedForward(width, inner), nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor, y: Tensor, table: Tensor | None, bias: Tensor) -> Tensor:
        u = self.norm1(x + self.dropout(self.get_submodule("self")(x, y, table, bias)))
        out: Tensor = self.norm2(u + self.dropout(self.output(u)))
        return out


class LoopMixture(nn.Module):
    """The Gaussian mixture block, one attention block after the other; its parameters have the authors' names.

    A table may be given as its width: it is then built in every forward, as released; None = no table.
    """

    def __init__(
        self, width: int, num_heads: int, length: int, tables: Sequence[Tensor | float | None], sft_factor: float
    ) -> None:
        super().__init__()
        self.length, self.tables, self.sft_factor = length, tables, sft_factor
        self.blocks = [LoopBlock(width, num_heads, 4 * width) for _ in tables]
        for k, block in enumerate(self.blocks):
            self.add_module(f"attn{k}", block)
        self.ca = LoopBlock(width, num_heads, width)
        self.layer1, self.layer2 = nn.Linear(width, width), nn.Linear(width, length)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor, token: Tensor, valid: Tensor, size: Tensor | None = None) -> Tensor:
        mask = torch.zeros(valid.shape, dtype=x.dtype).masked_fill(~valid, -10000.0)
        bias = mask if size is None else mask + size.log()
        n, outputs, logits = x.shape[1], [], []
        for block, table in zip(self.blocks, self.tables, strict=True):
            if isinstance(table, float):
                table = loop_gaussian(self.length, table)
            out = block(x, x, None if table is None else table[:n, :n].to(x.dtype), bias)
            read = self.ca(token.expand(len(x), 1, -1), out, None, mask)  # (V, 1, D)
            logits.append(self.layer2(self.dropout(F.relu(self.layer1(read))))[:, 0, :n])
            outputs.append(out)
        weights = (torch.stack(logits, dim=-1) / self.sft_factor).softmax(-1)  # (V, N, K)
        mixed = (torch.stack(outputs, dim=-1) * weights[:, :, None]).sum(-1)  # (V, N, D, K) copies
        return mixed * valid[..., None]


class LoopInput(nn.Module):
    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.add_module("LayerNorm", nn.LayerNorm(width_in))
        self.net = nn.Sequential(nn.Dropout(0.0), nn.Linear(width_in, width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.net(self.get_submodule("LayerNorm")(x)))


class LoopPositions(nn.Module):
    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(length, width)
        self.add_module("LayerNorm", nn.LayerNorm(width))
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.shape[1]).expand(x.shape[:2])
        out: Tensor = self.dropout(self.get_submodule("LayerNorm")(x + self.position_embeddings(places)))
        return out


class LoopNetwork(nn.Module):
    """MSC as released: what the fast network is tested and measured against. Its parameters have the authors' names."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        c = config
        for branch, width_in, length in (
            ("query", c.text_width, c.max_words),
            ("frame", c.video_width, c.frames),
            ("clip", c.video_width, c.frames),
        ):
            self.add_module(f"{branch}_input_proj", LoopInput(width_in, c.hidden))
            self.add_module(f"{branch}_pos_embed", LoopPositions(length, c.hidden))
        self.query_encoder = LoopBlock(c.hidden, c.heads, 4 * c.hidden)
        self.frame_encoder_1 = LoopMixture(c.hidden, c.heads, c.frames, c.widths, c.sft_factor)
        self.clip_encoder = LoopMixture(c.hidden, c.heads, c.clips, c.widths, c.sft_factor)
        self.modular_vector_mapping = nn.Linear(c.hidden, 1, bias=False)
        self.vproj_clip = nn.Linear(c.hidden, c.hidden)
        self.weight_token = nn.Parameter(torch.empty(1, 1, c.hidden))
        for name, module in self.named_modules():
            if isinstance(module, nn.Dropout):
                module.p = c.input_dropout if "_input_proj" in name or "_pos_embed" in name else c.dropout

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        mask = torch.zeros(queries.valid.shape).masked_fill(~queries.valid, -10000.0)
        x = self._placed("query", queries.words)
        words = self.query_encoder(x, x, None, mask)
        logits = self.modular_vector_mapping(words).masked_fill(~queries.valid[..., None], -1e10)
        return torch.einsum("qwm,qwd->qmd", logits.softmax(1), words).squeeze(1)

    def encode_videos(self, videos: MSCVideos) -> VideoTokens:
        frames, clips = self._placed("frame", videos.frames), self._placed("clip", videos.clips)
        there = videos.clip_size > 0
        return VideoTokens(
            self.frame_encoder_1(frames, self.weight_token, videos.frame_valid),
            videos.frame_valid,
            self.clip_encoder(clips, self.weight_token, there, videos.clip_size),
            there,
        )

    def embed(self, batch: Batch[MSCVideos]) -> Made[Tensor, Aligned]:
        tokens = self.encode_videos(batch.videos)
        query = self.encode_queries(batch.queries)
        return Made(query, Aligned(tokens, self.vproj_clip(tokens.frames), self.vproj_clip(tokens.clips)))

    def _placed(self, branch: str, x: Tensor) -> Tensor:
        out: Tensor = self.get_submodule(f"{branch}_pos_embed")(self.get_submodule(f"{branch}_input_proj")(x))
        return out
