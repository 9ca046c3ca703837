"""A few learned vectors read a video and stand for it; and what has to be read back from them while they learn.

A video is read at its frames and at every run of neighbouring clips. What is linear in a run follows from its clips, so
that of T + C (C + 1) / 2 tokens only T + C are projected.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from prvr.core.types import VideoTokens
from prvr.parts.attention_layers import AttentionLayers
from prvr.parts.dropout import Dropout
from prvr.parts.masked import key_bias
from prvr.parts.proposals import window_bounds, window_table, window_valid

_AT_A_TIME = 1 << 22  # numbers of the frame decoder's hidden layer on a CPU: what fits its cache
_AT_A_TIME_GPU = 1 << 28


class PrototypeLayer(nn.Module):
    """Prototypes read a video: norm(x + dropout(out · attention)). They do not see each other."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def wake(self) -> None:
        """Matrices 1: what is looked at is what is alike, and it is taken as it is, whatever the width.

        With the family's N(0, 0.02²) every prototype begins by reading the mean of the video, and few leave it.
        """
        for linear in (self.query, self.key, self.value, self.out):
            nn.init.eye_(linear.weight)

    def forward(self, x: Tensor, video: VideoTokens) -> tuple[Tensor, Tensor]:
        """x (V, L, D), video: frames (V, T, D) and clips (V, C, D) -> (V, L, D), and what each looked at (V, L, T + P).

        The latter is the mean over heads; P runs of clips, in the order of `window_bounds`, come behind the frames.
        """
        tokens, heads = torch.cat([video.frames, video.clips], dim=1), (self.num_heads, -1)
        query, key, value = (
            torch.unflatten(part, -1, heads).transpose(1, 2)
            for part in (self.query(x), self.key(tokens), self.value(tokens))
        )  # (V, H, L or T + C, d)
        table, t = window_table(video.clips.shape[1], query), video.frames.shape[1]
        logits = query @ key.mT * query.shape[-1] ** -0.5
        every = torch.cat([logits[..., :t], logits[..., t:] @ table.T], dim=-1)  # (V, H, L, T + P)
        valid = torch.cat([video.frame_valid, window_valid(video.clip_valid)], dim=1)
        looked = every.masked_fill(~valid[:, None, None], -torch.inf).softmax(-1)
        weights = torch.cat([looked[..., :t], looked[..., t:] @ table.to(looked)], dim=-1)  # (V, H, L, T + C)
        read = self.out((weights.to(value) @ value).transpose(1, 2).flatten(2))
        out: Tensor = self.norm(x + self.dropout(read))
        return out, looked.mean(1)


class WordDecoder(nn.Module):
    """Masked words, helped by one prototype -> the features of those words.

    Attention over a single key is 1 whatever the query, so that what every word gets is out · value · prototype; no
    query and no key is made. An attention layer among the words follows.
    """

    def __init__(self, width: int, width_out: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.layer = AttentionLayers(1, width, num_heads, dropout)
        self.word = nn.Linear(width, width_out)

    def forward(self, words: Tensor, valid: Tensor, prototype: Tensor, places: Tensor) -> Tensor:
        """words (Q, W, D), valid (Q, W), prototype (Q, D), places (Q, M) of the words to guess -> (Q, M, E)."""
        helped = self.norm(words + self.dropout(self.out(self.value(prototype)))[:, None])
        mixed = self.layer(helped, bias=key_bias(valid).to(helped.dtype))[0]
        guessed: Tensor = self.word(mixed.gather(1, places[..., None].expand(-1, -1, mixed.shape[2])))
        return guessed


class FrameDecoder(nn.Module):
    """Prototypes -> the frames that they were read from.

    Each prototype proposes every frame, by a two-layer network of prototype + place, and says how much it wants to be
    heard there. Proposals are averaged before the second matrix, which is the same and far cheaper.
    """

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.empty(length, width))
        self.hidden = nn.Linear(width, 2 * width)
        self.say = nn.Linear(2 * width, 1, bias=False)
        self.frame = nn.Linear(2 * width, width)

    def forward(self, prototypes: Tensor, num_frames: int) -> Tensor:
        """prototypes (V, L, D) -> (V, T, D). The hidden layer (V, L, T, 2D) is made some videos at a time, twice."""
        by_prototype = self.hidden(prototypes)  # (V, L, F)
        by_place = F.linear(self.places[:num_frames], self.hidden.weight)  # (T, F)
        size = by_prototype[0].numel() * num_frames
        step = max(1, (_AT_A_TIME if prototypes.device.type == "cpu" else _AT_A_TIME_GPU) // size)
        heard = [
            checkpoint(_heard, part, by_place, self.say.weight[0], use_reentrant=False, preserve_rng_state=False)
            for part in torch.split(by_prototype, step)
        ]
        out: Tensor = self.frame(torch.cat(heard))
        return out


def _heard(by_prototype: Tensor, by_place: Tensor, say: Tensor) -> Tensor:
    """(V, L, F), (T, F), (F,) -> (V, T, F): the hidden layer of each place, prototypes weighed by their say."""
    hidden = F.relu(by_prototype[:, :, None] + by_place)  # (V, L, T, F)
    return torch.einsum("vlt,vltf->vtf", (hidden @ say).softmax(1), hidden)


def looked_at(attention: Tensor, num_frames: int, num_clips: int, cuts: tuple[Tensor, Tensor]) -> Tensor:
    """Of what prototypes looked at in two videos end to end, the share that lies in each of the two.

    attention (P, L, T + P'), cuts: the first frame and the first clip of the second video, (P,) each -> (P, L, 2). Runs
    of clips that cross the cut count for neither.
    """
    frame = torch.arange(num_frames, device=attention.device)
    start, end = window_bounds(num_clips).to(attention.device).unbind(1)
    at_frame, at_clip = (cut[:, None] for cut in cuts)
    first = torch.cat([frame < at_frame, end < at_clip], dim=1)  # (P, T + P')
    second = torch.cat([frame >= at_frame, start >= at_clip], dim=1)
    mass = attention @ torch.stack([first, second], dim=-1).to(attention)
    return mass / (mass.sum(-1, keepdim=True) + 1e-6)


def masked_places(draws: Tensor, valid: Tensor, share: float) -> Tensor:
    """Words to be hidden: a share of each query's, those with the lowest draws, 1 at least.

    draws (Q, W), valid (Q, W) -> (Q, M) int64, -1 where a query has fewer; M follows from W alone.
    """
    most = max(1, round(share * valid.shape[1]))
    count = (valid.sum(1) * share).round().long().clamp(min=1, max=most)
    lowest = draws.masked_fill(~valid, torch.inf).argsort(dim=1)[:, :most]
    return lowest.masked_fill(torch.arange(most, device=valid.device) >= count[:, None], -1)
