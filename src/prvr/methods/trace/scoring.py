"""TRACE (arXiv 2609.08999): frames that agree with what a video is about as a whole count for more, when scoring.

A few global registers stand for the whole. A frame gains by every register that both the query and the frame are like;
and the registers that the query is like point at a soft vector of frames. Written for any model's tokens: the
training-free form has the means of equal parts of the video as registers, and no learned maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import BranchScores, VideoTokens

PRODUCTS = 1 << 24
"""How many numbers of (queries, videos, frames) are held at a time by default: 64 MiB."""


@dataclass(frozen=True, kw_only=True)
class TraceConfig:
    """How much the whole video says about its frames; the defaults are the paper's, for models that were trained so."""

    weight: float = 0.03  # λ, of all that is added to a score; 0 leaves it as it was
    temperature: float = 0.07  # τ
    route: float = 0.3  # γ, of the routed support of a frame
    soft: float = 0.2  # η, of the soft vector
    registers: int = 4  # equal parts of a video whose means stand for the whole; paper: 4 to 8

    def __post_init__(self) -> None:
        if self.temperature < 0.05:
            raise ConfigError(f"model.temperature={self.temperature}: must be at least 0.05, where float32 still holds")
        if self.registers < 1:
            raise ConfigError(f"model.registers={self.registers}: must be at least 1")


class Trace(NamedTuple):
    """What routing makes of Q queries and V videos."""

    route: Tensor  # (Q, V) best frame, with its routed support
    winner: Tensor  # (Q, V) int64, that frame
    soft: Tensor  # (Q, V) cosine with the soft vector of frames


def trace(
    query: Tensor,
    registers: Tensor,
    keys: Tensor,
    values: Tensor,
    valid: Tensor,
    *,
    temperature: float = 0.07,
    route: float = 0.3,
) -> Trace:
    """Query against the frames of each video by way of the video's registers; all vectors of unit length.

    query (Q, D), registers (V, R, D), keys and values (V, T, D) of frames, valid (V, T). With a = query · register and
    b = register · key: support of a frame = τ ln Σ exp((a + b) / τ); the soft vector is Σ softmax(a) softmax(b) value.
    """
    to_register = torch.einsum("qd,vrd->vqr", query, registers) / temperature  # a / τ
    to_frame = (registers @ keys.mT).masked_fill(~valid[:, None], -torch.inf) / temperature  # b / τ, (V, R, T)
    winner, best = _route(query, keys, valid, to_register, to_frame, temperature * route)
    share = to_register.softmax(2)  # π, (V, Q, R)
    points = to_frame.softmax(2) @ values  # (V, R, D) where each register looks
    inner = (share * torch.einsum("qd,vrd->vqr", query, points)).sum(2)
    length = (share * (share @ (points @ points.mT))).sum(2).clamp(min=1e-24).sqrt()
    return Trace(route=best.T, winner=winner.T, soft=(inner / length).T)


def routed_support(to_register: Tensor, to_frame: Tensor) -> Tensor:
    """ln Σ over registers of exp(a + b): to_register (V, Q, R), to_frame (V, R, T) -> (V, Q, T), -inf for no frame.

    As a product of exponentials, so that no tensor of queries by registers by frames is made.
    """
    most_a, most_b = to_register.amax(2, keepdim=True), to_frame.amax(1, keepdim=True)
    shift = most_b.masked_fill(most_b == -torch.inf, 0.0)
    return ((to_register - most_a).exp() @ (to_frame - shift).exp()).log() + most_a + shift


def equal_parts(tokens: Tensor, valid: Tensor, count: int) -> Tensor:
    """Means of `count` equal stretches of each video; a stretch without a token of its own takes the nearest one.

    tokens (V, N, D), valid (V, N), padding behind -> (V, count, D).
    """
    number = valid.sum(1, keepdim=True)  # (V, 1)
    part = torch.arange(count, device=tokens.device)
    first = part * number // count
    last = torch.maximum((part + 1) * number // count, first + 1)
    place = torch.arange(tokens.shape[1], device=tokens.device)
    inside = (place >= first[..., None]) & (place < last[..., None])  # (V, count, N)
    share = inside.to(tokens.dtype) / (last - first)[..., None]
    return share @ tokens.masked_fill(~valid[..., None], 0.0)


def trace_bonus(query: Tensor, video: VideoTokens, config: TraceConfig, *, products: int = PRODUCTS) -> Tensor:
    """What TRACE adds to the score of each video, without any learned map: query (Q, D) -> (Q, V)."""
    frames = F.normalize(video.frames, dim=2)
    registers = F.normalize(equal_parts(frames, video.frame_valid, config.registers), dim=2)
    some = max(1, products // max(1, video.frame_valid.numel()))
    parts = [
        trace(
            part,
            registers,
            frames,
            frames,
            video.frame_valid,
            temperature=config.temperature,
            route=config.route,
        )
        for part in torch.split(F.normalize(query, dim=1), some)
    ]
    return torch.cat([config.weight * (part.route + config.soft * part.soft) for part in parts])


def add_trace(base: BranchScores, query: Tensor, video: VideoTokens, config: TraceConfig) -> BranchScores:
    """Scores (Q, V) of any model with what TRACE adds: to both branches, so that the fused score gains it once."""
    bonus = trace_bonus(query, video, config)
    return BranchScores(frame=base.frame + bonus, clip=base.clip + bonus)


def _route(
    query: Tensor, keys: Tensor, valid: Tensor, to_register: Tensor, to_frame: Tensor, weight: float
) -> tuple[Tensor, Tensor]:
    """-> the best frame and its score, (V, Q) each."""
    direct = torch.einsum("qd,vtd->vqt", query, keys)
    scores = (direct + weight * routed_support(to_register, to_frame)).masked_fill(~valid[:, None], -torch.inf)
    best, winner = scores.max(2)
    return winner, best
