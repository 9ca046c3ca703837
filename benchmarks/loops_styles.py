"""The slow twins of ProtoPRVR-style and ARL-style, of which no code was released: the same arithmetic video by video
and query by query, every proposal, every attention and every decoded frame made.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import loop_losses as loops
from benchmarks.loops import Encoder, Layer, Placed, Twin, Words, projection, runs
from prvr.core.types import Batch
from prvr.methods.arl_style.network import ARLStyle
from prvr.methods.protoprvr_style.layers import PrototypeLayer
from prvr.methods.protoprvr_style.network import ProtoPRVRStyle


class Judged(NamedTuple):
    """What one network of ARL says."""

    cosine: Tensor  # (Q, V)
    dot: Tensor  # (Q, V)
    uncertain: Tensor  # (Q, V)
    frame_cosine: Tensor  # (Q, T), the own video's
    frame_dot: Tensor  # (Q, T)
    frame_uncertain: Tensor  # (Q, T)


class Pair(Twin):
    """ARL-style."""

    def __init__(self, model: ARLStyle, settings: Any) -> None:
        super().__init__(settings)
        networks = (model.first, model.second)
        self.words = nn.ModuleList(Words(x.query_input, x.query_encoder, x.query_pooling) for x in networks)
        self.frames = nn.ModuleList(Encoder(x.frame_input, x.frame_encoder) for x in networks)
        self.means = model.means.clone()

    def forward(self, batch: Batch[Any]) -> list[tuple[Tensor, Tensor]]:
        """-> queries (Q, D) and frames (V, T, D) of the two networks."""
        pairs = zip(self.words, self.frames, strict=True)
        return [(words(batch), frames(batch.videos.frames)) for words, frames in pairs]

    def loss(self, seen: list[tuple[Tensor, Tensor]], batch: Batch[Any]) -> Tensor:
        """What forward made -> a scalar."""
        own, judged = batch.video_of_query, []
        for network, (query, frames) in enumerate(seen):
            judged.append(self._judge(network, query, frames, own))
        labels = [self._labels(one, own) for one in judged]
        parts = [self._part(one, *label, own) for one, label in zip(judged, reversed(labels), strict=True)]
        return torch.stack(parts).sum()

    def _judge(self, network: int, query: Tensor, frames: Tensor, own: Tensor) -> Judged:
        rows = torch.arange(len(own))
        every, cosine, winner, dot = loops.best_of(frames, query)
        with torch.no_grad():
            of_query = F.normalize(query, dim=1) @ self.means[1, network]
            of_frame = F.normalize(frames, dim=2) @ self.means[0, network]
            uncertain = torch.stack(
                [(of_query[q] + of_frame[torch.arange(len(frames)), winner[q]]) / 2 for q in range(len(own))]
            )
        frames_of = frames.unbind()
        frame_dot = torch.stack([frames_of[v] @ row for row, v in zip(query, own.tolist(), strict=True)])
        return Judged(cosine, dot, uncertain, every[own, :, rows], frame_dot, of_frame[own])

    @torch.no_grad()
    def _labels(self, seen: Judged, own: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Ambiguous videos and frames of each query."""
        loss, videos, frames = self.settings.loss, [], []
        alike, generic = seen.cosine[torch.arange(len(own)), own].mean(), seen.uncertain.mean()
        for q, v in enumerate(own.tolist()):
            found = (seen.cosine[q] >= alike) & (seen.uncertain[q] >= generic)
            found[v] = False
            place = found.nonzero().squeeze(1)
            videos.append(place[seen.cosine[q, place].argsort(descending=True)[: loss.most_ambiguous]])
            near = seen.frame_cosine[q] >= seen.frame_cosine[q].max() - loss.frame_slack
            near &= seen.frame_uncertain[q] >= seen.frame_uncertain[q].mean()
            frames.append(near.nonzero().squeeze(1))
        return videos, frames

    def _part(self, seen: Judged, videos: list[Tensor], frames: list[Tensor], own: Tensor) -> Tensor:
        loss = self.settings.loss
        (number, count), margin = seen.cosine.shape, loss.margin
        ambiguous = torch.zeros(number, count, dtype=torch.bool)
        nce, hinge, frame_nce, frame_hinge = [], [], [], []
        tables = (seen.cosine, seen.dot, seen.frame_cosine, seen.frame_dot)
        for q, (row, dots, frame_row, frame_dots) in enumerate(zip(*tables, strict=True)):
            v, best = int(own[q]), frame_row.argmax()
            ambiguous[q, videos[q]] = True
            hits = torch.cat([own[q : q + 1], videos[q]])
            rest = torch.ones(count, dtype=torch.bool).index_fill_(0, hits, False).nonzero().squeeze(1)
            nce.append(dots.logsumexp(0) - dots[hits].mean())
            hinge.append(loops.several(row[v], row, videos[q], rest, margin, loss.hard_pool))
            maybe = frames[q][frames[q] != best]
            hits = torch.cat([best[None], maybe])
            rest = torch.ones(len(frame_row), dtype=torch.bool).index_fill_(0, hits, False).nonzero().squeeze(1)
            frame_nce.append(frame_dots.logsumexp(0) - frame_dots[hits].mean())
            frame_hinge.append(loops.several(frame_row[best], frame_row, maybe, rest, margin, loss.hard_pool))
        video_nce, video_hinge = [], []
        for v, mine in enumerate(loops.queries_of(own, count)):
            maybe = ambiguous[:, v].nonzero().squeeze(1)
            hits = torch.cat([mine, maybe])
            clean = torch.ones(number, dtype=torch.bool).index_fill_(0, hits, False).nonzero().squeeze(1)
            video_nce.append(seen.dot[:, v].logsumexp(0) - seen.dot[hits, v].logsumexp(0))
            column = seen.cosine[:, v]
            video_hinge.append(loops.several(column[mine].mean(), column, maybe, clean, margin, 1))
        means = [torch.stack(x).mean() for x in (nce, video_nce, hinge, video_hinge, frame_nce, frame_hinge)]
        weights = (loss.nce, loss.nce, 1.0, 1.0, loss.frames * loss.nce, loss.frames)
        return loops.summed(list(zip(weights, means, strict=True)))


class Reader(nn.Module):
    """One layer of prototypes, for one video."""

    def __init__(self, ours: PrototypeLayer) -> None:
        super().__init__()
        self.ours, self.heads, self.dropout = deepcopy(ours), ours.num_heads, nn.Dropout(ours.dropout.rate)

    def forward(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """x (L, D), tokens (N, D) -> (L, D), and what each looked at (L, N)."""

        def parts(y: Tensor) -> Tensor:
            return torch.unflatten(y, 1, (self.heads, -1)).transpose(0, 1)  # (H, N, d)

        query, key, value = parts(self.ours.query(x)), parts(self.ours.key(tokens)), parts(self.ours.value(tokens))
        looked = (query @ key.mT / query.shape[2] ** 0.5).softmax(2)
        read = (looked @ value).transpose(0, 1).flatten(1)
        out: Tensor = self.ours.norm(x + self.dropout(self.ours.out(read)))
        return out, looked.mean(0)


class Prototypes(Twin):
    """ProtoPRVR-style; `draws` are made by the model's own function."""

    def __init__(self, model: ProtoPRVRStyle, settings: Any) -> None:
        super().__init__(settings)
        self.draw = model.draw
        self.query_input, self.query_positions = projection(model.query_input), Placed(model.query_encoder.positions)
        self.query_layer, self.pooling = Layer(model.query_encoder.layer), deepcopy(model.query_pooling)
        self.clips = Encoder(model.clip_input, model.clip_encoder)
        self.frames = Encoder(model.frame_input, model.frame_encoder)
        self.readers = nn.ModuleList(Reader(layer) for layer in model.layers)  # type: ignore[arg-type]
        self.first, self.masked = (nn.Parameter(x.detach().clone()) for x in (model.prototypes, model.masked_word))
        self.word, self.word_layer = deepcopy(model.word_decoder), Layer(model.word_decoder.layer)
        del self.word.layer
        self.word_dropout, self.frame = nn.Dropout(model.word_decoder.dropout.rate), deepcopy(model.frame_decoder)

    def _read(self, frames: Tensor, clips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Prototypes, what they looked at and the frames as they saw them, video by video."""
        seen, runs_of = self.frames(frames), runs(self.clips(clips))
        made, looked = [], []
        for both in zip(seen, runs_of, strict=True):
            x = torch.stack([F.layer_norm(row, row.shape) for row in self.first])
            looks = x
            for reader in self.readers:
                x, looks = reader(x, torch.cat(both))
            made.append(x)
            looked.append(looks)
        return torch.stack(made), torch.stack(looked), seen

    def forward(self, batch: Batch[Any]) -> tuple[Any, ...]:
        """-> queries, prototypes, frames, guessed and true words, rebuilt frames, and the mixtures or None."""
        draws, valid, own = self.draw(batch), batch.queries.valid, batch.video_of_query
        made, _, seen = self._read(batch.videos.frames, batch.videos.clips)
        projected = self.query_input(batch.queries.words)
        words = self.query_layer(self.query_positions(projected), valid)
        query, hidden = self.pooling(words, valid), torch.zeros_like(valid)
        for q, there in enumerate(valid):
            length, share = int(there.sum()), self.settings.model.masked_words
            count = min(max(round(length * share), 1), max(1, round(share * len(there))))
            hidden[q, draws.words[q].masked_fill(~there, torch.inf).argsort()[:count]] = True
        best, made_of = [], made.unbind()
        for q, v in enumerate(own.tolist()):
            place = int((F.normalize(made_of[v].detach(), dim=1) @ query[q].detach()).argmax())
            best.append(made_of[v][place])
        masked = torch.where(hidden[..., None], self.masked, projected)
        masked = self.query_layer(self.query_positions(masked), valid)
        helped = self.word_dropout(self.word.out(self.word.value(torch.stack(best))))[:, None]
        guessed = self.word.word(self.word_layer(self.word.norm(masked + helped), valid)[hidden])
        mixture = self._mixed(batch, draws) if draws.mixing else None
        return query, made, seen, guessed, batch.queries.words[hidden], self._rebuilt(made), mixture

    def _rebuilt(self, made: Tensor) -> Tensor:
        """Every prototype says every frame."""
        frames = []
        for x in made:
            inner = F.relu(self.frame.hidden(x[:, None] + self.frame.places))  # (L, T, 2D)
            frames.append((self.frame.say(inner).softmax(0) * self.frame.frame(inner)).sum(0))
        return torch.stack(frames)

    def _mixed(self, batch: Batch[Any], draws: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Prototypes of the mixtures, the share of what they saw in either video (P, L, 2), and whose they are."""
        half, made = len(batch.videos) // 2, []
        first, second = draws.order[:half].tolist(), draws.order[half : 2 * half].tolist()
        cuts = []
        for branch in (batch.videos.frames, batch.videos.clips):
            length = branch.shape[1]
            cut = [min(max(round(length * float(share)), 1), length - 1) for share in draws.share]
            rows = []
            for a, b, at in zip(first, second, cut, strict=True):
                rows.append(torch.cat([_squeezed(branch[a], at), _squeezed(branch[b], length - at)]))
            made.append(F.normalize(torch.stack(rows), dim=2))
            cuts.append(cut)
        prototypes, looked, _ = self._read(*made)
        shares, (t, c) = [], (x.shape[1] for x in made)
        for p in range(half):
            ends = [(i, i + k) for k in range(1, c + 1) for i in range(c - k + 1)]
            left = torch.tensor([*(i < cuts[0][p] for i in range(t)), *(end <= cuts[1][p] for _, end in ends)])
            right = torch.tensor([*(i >= cuts[0][p] for i in range(t)), *(start >= cuts[1][p] for start, _ in ends)])
            mass = torch.stack([looked[p][:, side].sum(1) for side in (left, right)], dim=1)
            shares.append(mass / (mass.sum(1, keepdim=True) + 1e-6))
        return prototypes, torch.stack(shares), torch.tensor([first, second])

    def loss(self, seen: tuple[Any, ...], batch: Batch[Any]) -> Tensor:
        """What forward made -> a scalar."""
        query, made, frames, guessed, words, rebuilt, mixture = seen
        own, loss = batch.video_of_query, self.settings.loss
        _, cosine, _, dot = loops.best_of(made, query)
        parts = self.retrieval(cosine, dot, own, loss.nce)
        parts.append((loss.words, (guessed - words).square().sum(1).mean()))
        parts.append((loss.frames, (rebuilt - frames.detach()).square().mean()))
        alike = []
        for x in made:
            unit, number = F.normalize(x, dim=1), len(x)
            alike.append(((unit @ unit.T).clamp(min=0) * (1 - torch.eye(number))).norm() / (number * (number - 1)))
        parts.append((loss.diversity, torch.stack(alike).mean()))
        if mixture is not None:
            parts.append((loss.attention, self._guidance(query, mixture, own)))
        return loops.summed(parts)

    def _guidance(self, query: Tensor, mixture: tuple[Tensor, Tensor, Tensor], own: Tensor) -> Tensor:
        mixed, share, videos = mixture
        missed, whose = [], {v: place for place, v in enumerate(videos.flatten().tolist())}
        for q, v in enumerate(own.tolist()):
            if v in whose:
                side, pair = divmod(whose[v], len(mixed))
                best = int((F.normalize(mixed[pair].detach(), dim=1) @ query[q].detach()).argmax())
                own_share = share[pair, best, side] + self.settings.loss.attention_margin
                missed.append(-own_share.clamp(min=1e-6, max=1).log())
        return torch.stack(missed).mean()


def _squeezed(x: Tensor, places: int) -> Tensor:
    """(N, E) -> (places, E), means of equal stretches."""
    edges = [place * len(x) // places for place in range(places + 1)]
    return torch.stack([x[a : max(b, a + 1)].mean(0) for a, b in pairwise(edges)])
