"""The slow twins of the compared systems, with the weights of ours: textbook parts of torch, one attention layer after
the other, every proposal and every product of it made, and the loops of the released code over videos and queries.

Nothing was released of ProtoPRVR and ARL: their twins (`benchmarks.loops_styles`) go through a batch video by video.
The videos of a batch are full.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import loop_losses as loops
from prvr.core.types import Batch
from prvr.methods.amdnet.network import AMDNet
from prvr.methods.dldkd.distillation import exponential_fade, soft_label_fade
from prvr.methods.dldkd.network import DLDKD, Branch
from prvr.methods.gmmformer.network import GMMFormer
from prvr.methods.gmmformer_v2.network import GMMFormerV2
from prvr.methods.msc.network import MixtureTowers
from prvr.methods.msc.official import OFFICIAL
from prvr.methods.msc.tcpl import mean_relation, tcpl_distance
from prvr.methods.mssl.network import MSSL
from prvr.parts.attention_layers import AttentionLayers, SequenceEncoder
from prvr.parts.blocks import InputProjection, Positions
from prvr.parts.pooling import AttentionPooling
from tests.parts.slow import LoopAttention, LoopNetwork, loop_cbva, loop_gaussian

EPOCH = 45
"""Where every part of every loss counts: hard negatives, matched moments, ambiguous pairs, soft labels."""


class Twin(nn.Module):
    """A network and its loss; `settings` are the recipe's."""

    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def loss(self, seen: Any, batch: Batch[Any]) -> Tensor:
        """What forward made -> a scalar."""
        raise NotImplementedError

    def retrieval(self, cosine: Tensor, dot: Tensor, own: Tensor, weight: float) -> list[tuple[float, Tensor]]:
        """InfoNCE and triplet of one branch."""
        loss = self.settings.loss
        return [(weight, loops.nce(dot, own)), (1.0, loops.triplet(cosine, own, loss.margin, loss.hard_pool))]


def projection(ours: InputProjection) -> nn.Sequential:
    """Layer norm, dropout, linear, ReLU."""
    return nn.Sequential(deepcopy(ours.norm), nn.Dropout(ours.dropout.rate), deepcopy(ours.linear), nn.ReLU())


class Placed(nn.Module):
    """Positions."""

    def __init__(self, ours: Positions) -> None:
        super().__init__()
        self.weight, self.norm = nn.Parameter(ours.weight.detach().clone()), deepcopy(ours.norm)
        self.dropout = nn.Dropout(ours.dropout.rate)

    def forward(self, x: Tensor) -> Tensor:
        """(V, N, D) -> the same."""
        out: Tensor = self.dropout(self.norm(x + self.weight[: x.shape[1]]))
        return out


class Layer(nn.Module):
    """The k-th of our stacked attention layers."""

    def __init__(self, ours: AttentionLayers, k: int = 0) -> None:
        super().__init__()
        width = ours.out_weight.shape[-1]
        self.attention = LoopAttention(width, ours.num_heads)
        self.out, self.norm, self.dropout = nn.Linear(width, width), nn.LayerNorm(width), nn.Dropout(ours.dropout)
        self.attention.dropout.p = ours.dropout
        pairs = [(self.out, ours.out_weight[k], ours.out_bias[k])]
        parts = (self.attention.query, self.attention.key, self.attention.value)
        pairs += [(part, ours.qkv_weight[i, k], ours.qkv_bias[i, k]) for i, part in enumerate(parts)]
        with torch.no_grad():
            for linear, weight, bias in pairs:
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
            self.norm.weight.copy_(ours.norm_weight[k])
            self.norm.bias.copy_(ours.norm_bias[k])

    def forward(self, x: Tensor, valid: Tensor | None = None, table: Tensor | None = None) -> Tensor:
        """x (V, N, D), valid (V, N), table multiplies logits -> (V, N, D)."""
        bias = x.new_zeros(x.shape[:2])
        if valid is not None:
            bias = bias.masked_fill(~valid, -10000.0)
        out: Tensor = self.norm(x + self.dropout(self.out(self.attention(x, x, table, bias))))
        return out


class Encoder(nn.Module):
    """Projection, positions, one attention layer."""

    def __init__(self, features: InputProjection, ours: SequenceEncoder) -> None:
        super().__init__()
        self.input, self.positions, self.layer = projection(features), Placed(ours.positions), Layer(ours.layer)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """x (V, N, E), valid (V, N) -> (V, N, D)."""
        out: Tensor = self.layer(self.positions(self.input(x)), valid)
        return out


class Words(nn.Module):
    """Words -> a vector."""

    def __init__(self, features: InputProjection, encoder: SequenceEncoder, pooling: AttentionPooling) -> None:
        super().__init__()
        self.encoder, self.pooling = Encoder(features, encoder), deepcopy(pooling)

    def forward(self, batch: Batch[Any]) -> Tensor:
        """-> (Q, D)."""
        valid = batch.queries.valid
        out: Tensor = self.pooling(self.encoder(batch.queries.words, valid), valid)
        return out


def runs(clips: Tensor) -> Tensor:
    """Every run of neighbouring clips, averaged window by window: (V, C, D) -> (V, C (C + 1) / 2, D)."""
    return torch.cat([F.avg_pool1d(clips.mT, k, stride=1).mT for k in range(1, clips.shape[1] + 1)], dim=1)


class Moments(Twin):
    """MS-SL, and BGM-Net, whose loss has an alignment and assigns moments video by video."""

    def __init__(self, model: MSSL, settings: Any) -> None:
        super().__init__(settings)
        self.words = Words(model.query_input, model.query_encoder, model.query_pooling)
        self.clips = Encoder(model.clip_input, model.clip_encoder)
        self.frames = Encoder(model.frame_input, model.frame_encoder)
        self.key, self.value = deepcopy(model.guide_key), deepcopy(model.guide_value)

    def forward(self, batch: Batch[Any]) -> tuple[Tensor, Tensor, Tensor]:
        """-> queries (Q, D), moments (V, P, D) and frames (V, T, D)."""
        return self.words(batch), runs(self.clips(batch.videos.clips)), self.frames(batch.videos.frames)

    def loss(self, seen: tuple[Tensor, Tensor, Tensor], batch: Batch[Any]) -> Tensor:
        """What forward made -> a scalar."""
        (query, moments, frames), own, loss = seen, batch.video_of_query, self.settings.loss
        rows, matched = torch.arange(len(query)), hasattr(loss, "match_from_epoch")
        every, cosine, best, dot = loops.best_of(moments, query)
        place = best[rows, own]
        if matched:
            for v, mine in enumerate(loops.queries_of(own, len(moments))):
                place[mine] = loops.assigned(every[v][:, mine].T)
        anchors = moments[own, place]
        logits = (self.key(frames)[own] @ anchors[..., None]).squeeze(2)  # (Q, T)
        looked = (logits.softmax(1)[:, None] @ self.value(frames)[own]).squeeze(1)  # (Q, D)
        unit, unit_anchors = F.normalize(query, dim=1), F.normalize(anchors, dim=1)
        parts = []
        if matched:
            cosine, dot = cosine.clone(), dot.clone()
            cosine[rows, own], dot[rows, own] = (unit * unit_anchors).sum(1), (query * anchors).sum(1)
            parts = [(loss.align, (unit @ unit.T - unit_anchors @ unit_anchors.T).abs().mean())]
        parts += self.retrieval(cosine, dot, own, loss.nce_clip)
        parts += [(loss.nce_frame, loops.pair_nce(query @ looked.T))]
        triplets = loops.pair_triplet(unit @ F.normalize(looked, dim=1).T, loss.margin, loss.hard_pool)
        return loops.summed([*parts, (1.0, triplets)])


class Students(Twin):
    """DL-DKD and DL-DKD++."""

    def __init__(self, model: DLDKD, settings: Any) -> None:
        super().__init__(settings)
        second = model.explore_query_input or model.query_input
        pairs = ((model.inherit, model.query_input), (model.explore, second))
        self.words = nn.ModuleList(Words(words, one.query_encoder, one.query_pooling) for one, words in pairs)
        if model.explore_query_input is None:
            first, other = (cast(Words, words).encoder for words in self.words)
            other.input = first.input
        self.frames = nn.ModuleList(self._video(one) for one, _ in pairs)

    @staticmethod
    def _video(branch: Branch) -> nn.Sequential:
        return nn.Sequential(Encoder(branch.frame_input, branch.frame_encoder), deepcopy(branch.frame_output))

    def forward(self, batch: Batch[Any]) -> list[tuple[Tensor, Tensor]]:
        """-> queries (Q, D) and frames (V, T, D) of the two branches."""
        frames = [read(batch.videos.frames) for read in self.frames]
        return [(words(batch), video) for words, video in zip(self.words, frames, strict=True)]

    def loss(self, seen: list[tuple[Tensor, Tensor]], batch: Batch[Any]) -> Tensor:
        """What forward made -> a scalar."""
        own, loss, parts = batch.video_of_query, self.settings.loss, []
        frames, sentence = batch.videos.frames, batch.queries.sentence
        for branch, (query, video) in enumerate(seen):
            every, cosine, _, dot = loops.best_of(video, query)
            hinge, weight = loops.triplet(cosine, own, loss.margin, loss.hard_pool), loss.nce_frame
            if loss.labels == "soft":
                targets = dot if branch else (frames @ sentence.T).amax(1).T * loss.teacher_scale
                parts += [(weight, loops.soft_nce(dot, targets, own, *soft_label_fade(EPOCH))), (1.0, hinge)]
            else:
                parts += [(weight, loops.nce(dot, own)), (1.0, hinge)]
            if not branch:
                kept = loss.distill * exponential_fade(EPOCH)
                parts.append((kept, loops.distillation(every, frames, sentence, own, loss.temperature)))
        return loops.summed(parts)


def _side_by_side(ours: AttentionLayers) -> nn.ModuleList:
    return nn.ModuleList(Layer(ours, k) for k in range(len(ours.out_weight)))


class Averaged(Twin):
    """GMMFormer: blocks averaged, their tables made in every forward, queries encoded twice."""

    def __init__(self, model: GMMFormer, settings: Any) -> None:
        super().__init__(settings)
        self.words = Words(model.query_input, model.query_encoder, model.query_pooling)
        self.inputs = nn.ModuleList(projection(one) for one in (model.frame_input, model.clip_input))
        self.places = nn.ModuleList(Placed(one) for one in (model.frame_positions, model.clip_positions))
        self.layers = nn.ModuleList(
            nn.ModuleList(_side_by_side(cast(AttentionLayers, blocks)) for blocks in mixtures)
            for mixtures in (model.frame_mixtures, model.clip_mixtures)
        )
        self.pooling = deepcopy(model.frame_pooling)

    def forward(self, batch: Batch[Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """-> queries (Q, D) in two draws, videos (V, 1, D) and clips (V, C, D)."""
        made = []
        for branch, x in enumerate((batch.videos.frames, batch.videos.clips)):
            x = self.places[branch](self.inputs[branch](x))
            for blocks in cast(nn.ModuleList, self.layers[branch]):
                tables = [width and loop_gaussian(x.shape[1], width) for width in self.settings.model.widths]
                pairs = zip(cast(nn.ModuleList, blocks), tables, strict=True)
                x = torch.stack([block(x, None, table) for block, table in pairs]).mean(0)
            made.append(x)
        pooled = self.pooling(made[0], batch.videos.frame_valid)[:, None]
        return self.words(batch), self.words(batch), pooled, made[1]

    def loss(self, seen: tuple[Tensor, Tensor, Tensor, Tensor], batch: Batch[Any]) -> Tensor:
        """What forward made -> a scalar."""
        (query, again, frames, clips), own, loss = seen, batch.video_of_query, self.settings.loss
        apart = loops.diversity(again, own, len(clips), loss.diversity_margin, loss.diversity_scale, None)
        parts = [(loss.diversity, apart)]
        for tokens, weight in ((frames, loss.nce_frame), (clips, loss.nce_clip)):
            _, cosine, _, dot = loops.best_of(tokens, query)
            parts += self.retrieval(cosine, dot, own, weight)
        return loops.summed(parts)


class Mixed(Twin):
    """GMMFormer v2 and MSC: the network of `tests.parts.slow`."""

    def __init__(self, model: MixtureTowers, settings: Any) -> None:
        super().__init__(settings)
        self.second = isinstance(model, GMMFormerV2)
        self.network = LoopNetwork(model.config)
        width = model.config.hidden
        unread = {"alignment.weight": torch.zeros(width, width), "alignment.bias": torch.zeros(width)}  # by v2
        self.network.load_state_dict(OFFICIAL.write(unread | model.state_dict()))

    def forward(self, batch: Batch[Any]) -> tuple[Tensor, ...]:
        """-> queries (Q, D), frames (V, T, D), clips (V, C, D); aligned tokens, or a second draw of the queries."""
        if not self.second:
            query, (tokens, *aligned) = self.network.embed(batch)
            return query, tokens.frames, tokens.clips, *aligned
        net, videos = self.network, batch.videos
        frames = net.frame_encoder_1(net._placed("frame", videos.frames), net.weight_token, videos.frame_valid)
        there = videos.clip_size > 0
        clips = net.clip_encoder(net._placed("clip", videos.clips), net.weight_token, there)
        return net.encode_queries(batch.queries), frames, clips, net.encode_queries(batch.queries)

    def loss(self, seen: tuple[Tensor, ...], batch: Batch[Any]) -> Tensor:
        """What forward made -> a scalar."""
        (query, frames, clips, *more), own, loss = seen, batch.video_of_query, self.settings.loss
        if self.second:
            again, margin, scale = more[0], loss.diversity_margin, loss.diversity_scale
            apart = loops.diversity(again, own, len(clips), margin, scale, loss.diversity_power)
            parts = [(loss.diversity, apart), (loss.matching, loops.matching(again, clips, own))]
        else:
            parts = self._msc(query, more[0], more[1], batch)
        for tokens, weight in ((frames, loss.nce_frame), (clips, loss.nce_clip)):
            _, cosine, _, dot = loops.best_of(tokens, query)
            parts += self.retrieval(cosine, dot, own, weight)
        return loops.summed(parts)

    def _msc(self, query: Tensor, frames: Tensor, clips: Tensor, batch: Batch[Any]) -> list[tuple[float, Tensor]]:
        loss, plan, videos, sentence = self.settings.loss, self.settings.prepare, batch.videos, batch.queries.sentence
        angles: Tensor = loops.Angles.apply(query, sentence)  # type: ignore[no-untyped-call]
        return [
            (loss.tcpl_distance, mean_relation(tcpl_distance(query, sentence), loss.tcpl_mean)),
            (loss.tcpl_angle, angles),
            (loss.cbva, loop_cbva(frames, clips, videos, plan.similarity_threshold, plan.levels).mean()),
        ]


class Windows(Twin):
    """AMDNet: queries encoded twice, its two own losses video by video and query by query."""

    def __init__(self, model: AMDNet, settings: Any) -> None:
        super().__init__(settings)
        self.query, self.input = projection(model.query_input), projection(model.video_input)
        self.positions, self.plain, self.windowed = (
            Placed(model.video_positions),
            Layer(model.plain),
            Layer(model.windowed),
        )
        self.norm, self.whole, self.anchors = deepcopy(model.whole_norm), deepcopy(model.whole), deepcopy(model.anchors)

    def forward(self, batch: Batch[Any]) -> tuple[Tensor, ...]:
        """-> queries in two draws, tokens (V, N, D), videos (V, D), windows (V, H, N) and what they see (V, H, D)."""
        x = self.positions(self.input(batch.videos.frames))
        whole = self.whole(self.norm(x.mean(1)))
        centre, width = self.anchors(whole).sigmoid().unflatten(1, (-1, 2)).unbind(2)
        sigma = width.clamp(min=0.01)[..., None] / 9
        masks = (-((torch.linspace(0, 1, x.shape[1]) - centre[..., None]) ** 2) / (2 * sigma**2)).exp()
        masks = masks / masks.amax(2, keepdim=True)
        first = self.plain(x)
        second = self.windowed(first, None, masks[:, :, None])
        query, again = (self.query(batch.queries.sentence) for _ in range(2))
        return query, again, (first + second) / 2, whole, masks, masks @ x

    def loss(self, seen: tuple[Tensor, ...], batch: Batch[Any]) -> Tensor:
        """What forward made -> a scalar."""
        (query, again, tokens, whole, masks, moments), own, loss = seen, batch.video_of_query, self.settings.loss
        apart = []
        for mask in masks:
            share = mask / mask.sum(1, keepdim=True)
            apart.append((loss.diversity_diagonal * torch.eye(len(mask)) - share @ share.T).square().sum())
        near, moment_of, whole_of = [], moments.unbind(), whole.unbind()
        for row, v in zip(again, own.tolist(), strict=True):
            unit = F.normalize(row, dim=0)
            best = (F.normalize(moment_of[v], dim=1) @ unit).amax()
            near.append((loss.relevance_margin + unit @ F.normalize(whole_of[v], dim=0) - best).clamp(min=0))
        _, _, _, dot = loops.best_of(tokens, query)
        parts = [(loss.nce, loops.nce(dot, own)), (loss.diversity, torch.stack(apart).mean())]
        return loops.summed([*parts, (loss.relevance, torch.stack(near).mean())])


class LoopAdam:
    """BertAdam, a tensor at a time."""

    def __init__(self, model: nn.Module, lr: float, weight_decay: float = 0.01) -> None:
        self.parameters = list(model.parameters())
        self.lr, self.weight_decay = lr, weight_decay
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """One update."""
        for parameter, (first, second) in zip(self.parameters, self.moments, strict=True):
            gradient = parameter.grad
            if gradient is None:
                continue
            gradient.mul_((1 / (gradient.norm() + 1e-6)).clamp(max=1))
            first.mul_(0.9).add_(gradient, alpha=0.1)
            second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            update = first / (second.sqrt() + 1e-6)
            if parameter.dim() > 1:
                update += self.weight_decay * parameter
            parameter.add_(update, alpha=-self.lr)
