from __future__ import annotations

import torch
import torch.nn.functional as F

from prvr.core.types import VideoTokens
from prvr.parts.pooling import AttentionPooling, weighted_mean
from prvr.parts.scoring import best_cosine, best_token, cosine_scores, dot_scores, own_cosines


def test_best_token_by_hand() -> None:
    query = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    tokens = torch.tensor([[[3.0, 0.0], [0.0, 1.0], [9.0, 9.0]], [[-1.0, -1.0], [-2.0, -2.0], [0.5, 0.0]]])
    valid = torch.tensor([[True, True, False], [True, True, True]])
    score, winner = best_token(query, tokens, valid)
    assert score.tolist() == [[3, 0.5], [2, 0]]
    assert winner.tolist() == [[0, 2], [1, 2]]
    torch.testing.assert_close(best_cosine(query, tokens, valid)[0], torch.tensor([[1.0, 1.0], [1.0, 0.0]]))


def test_scoring_equals_the_loop_with_padding() -> None:
    query, tokens = torch.randn(7, 8), torch.randn(5, 6, 8)
    valid = torch.rand(5, 6) < 0.7
    valid[:, 0] = True
    score, winner = best_cosine(query, tokens, valid)
    for q in range(7):
        for v in range(5):
            cosines = F.cosine_similarity(query[q], tokens[v], dim=-1).masked_fill(~valid[v], -torch.inf)
            torch.testing.assert_close(score[q, v], cosines.max())
            assert winner[q, v] == cosines.argmax()
    padded = torch.cat([tokens, torch.full((5, 2, 8), 9.0)], dim=1)
    more = F.pad(valid, (0, 2))
    torch.testing.assert_close(best_cosine(query, padded, more)[0], score)
    assert best_token(query[:0], tokens, valid)[0].shape == (0, 5)


def test_gradients_reach_the_winner_alone() -> None:
    query, tokens = torch.randn(3, 4), torch.randn(2, 5, 4, requires_grad=True)
    score, winner = best_token(query, tokens, torch.ones(2, 5, dtype=torch.bool))
    (grad,) = torch.autograd.grad(score.sum(), tokens)
    want = torch.zeros(2, 5, 4)
    for q in range(3):
        for v in range(2):
            want[v, winner[q, v]] += query[q]
    torch.testing.assert_close(grad, want)


def test_branches_are_scored_apart() -> None:
    video = VideoTokens(
        frames=torch.randn(2, 6, 4),
        frame_valid=torch.ones(2, 6, dtype=torch.bool),
        clips=torch.randn(2, 3, 4),
        clip_valid=torch.ones(2, 3, dtype=torch.bool),
    )
    query = torch.randn(5, 4)
    torch.testing.assert_close(dot_scores(query, video).clip, best_token(query, video.clips, video.clip_valid)[0])
    torch.testing.assert_close(
        cosine_scores(query, video).frame, best_cosine(query, video.frames, video.frame_valid)[0]
    )


def test_cosines_with_the_own_video_alone() -> None:
    query, tokens, own = torch.randn(6, 4), torch.randn(3, 5, 4), torch.tensor([0, 1, 1, 2, 2, 2])
    want = F.cosine_similarity(query[:, None], tokens[own], dim=-1)
    torch.testing.assert_close(own_cosines(query, tokens, own), want)


def test_pooling() -> None:
    tokens, logits = torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([[0.0, 0.0, 50.0]])
    valid = torch.tensor([[True, True, False]])
    assert weighted_mean(tokens, logits, valid).tolist() == [[2.0]]
    pooling = AttentionPooling(1)
    torch.testing.assert_close(pooling(tokens, valid), pooling(tokens[:, :2], valid[:, :2]))
    assert pooling(tokens[:1], valid).shape == (1, 1)
