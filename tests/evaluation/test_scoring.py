from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from prvr.core.types import QueryBatch, VideoBatch, VideoTokens
from prvr.evaluation.scoring import best_cosine, encode_queries, score_library

E, D = 6, 4


class Lines(nn.Module):
    """A real two-tower model: a line for the queries, a line for the tokens of both branches."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.video = nn.Linear(E, D), nn.Linear(E, D)

    @property
    def clip_weight(self) -> float:
        return 0.4

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        out: Tensor = self.query(queries.sentence)
        return out

    def encode_videos(self, videos: VideoBatch) -> VideoTokens:
        return VideoTokens(
            self.video(videos.frames), videos.frame_valid, self.video(videos.clips), videos.clip_size > 0
        )


def videos(number: int) -> VideoBatch:
    valid = torch.rand(number, 5) < 0.6
    valid[:, 0] = True
    return VideoBatch(
        frames=torch.randn(number, 5, E),
        frame_valid=valid,
        clips=torch.randn(number, 3, E),
        clip_size=torch.ones(number, 3),
        slot=torch.zeros(number, 5, dtype=torch.int64),
        segment=torch.zeros(number, 3, dtype=torch.int64),
        frame_spans=torch.zeros(number, 5, 2),
    )


def queries(number: int) -> QueryBatch:
    return QueryBatch(
        words=torch.randn(number, 2, E),
        valid=torch.ones(number, 2, dtype=torch.bool),
        sentence=torch.randn(number, E),
    )


def in_pieces(batch: VideoBatch | QueryBatch, size: int) -> Iterator[dict[str, Tensor]]:
    for at in range(0, len(batch), size):
        yield {name: value[at : at + size] for name, value in vars(batch).items()}


def slow(query: Tensor, tokens: Tensor, valid: Tensor) -> list[list[float]]:
    def cosine(a: Tensor, b: Tensor) -> float:
        return float(a @ b / (a.norm() * b.norm()))

    return [
        [
            max(cosine(q, t) for t, real in zip(video, mask, strict=True) if real)
            for video, mask in zip(tokens, valid, strict=True)
        ]
        for q in query
    ]


def test_the_best_token_by_hand() -> None:
    tokens = torch.tensor([[[3.0, 0.0], [0.0, 2.0]], [[-5.0, 0.0], [1.0, 1.0]]])
    valid = torch.tensor([[True, True], [True, False]])
    assert best_cosine(torch.tensor([[2.0, 0.0]]), tokens, valid).tolist() == [[1, -1]]
    assert best_cosine(torch.tensor([[0.0, 1.0]]), tokens, valid).tolist() == [[1, 0]]
    nothing = best_cosine(torch.ones(1, 2), tokens, torch.zeros(2, 2, dtype=torch.bool))
    assert nothing.tolist() == [[-torch.inf] * 2]
    assert best_cosine(torch.ones(1, 2), tokens[:, :0], valid[:, :0]).tolist() == [[-torch.inf] * 2]


def test_padding_changes_nothing() -> None:
    query, tokens = torch.randn(3, D), torch.randn(4, 5, D)
    padded = torch.cat([tokens, torch.full((4, 2, D), 9.0)], 1)
    valid = torch.arange(7).expand(4, 7) < 5
    torch.testing.assert_close(best_cosine(query, padded, valid), best_cosine(query, tokens, valid[:, :5]))


@pytest.mark.parametrize(
    ("video_batch", "query_batch", "products"), [(11, 7, 1 << 20), (3, 2, 40), (1, 1, 1), (4, 7, 60)]
)
def test_in_pieces_equals_the_whole_and_the_loop(video_batch: int, query_batch: int, products: int) -> None:
    model, library, asked = Lines(), videos(11), queries(7)
    with torch.no_grad():
        tokens, query = model.encode_videos(library), model.encode_queries(asked)
    scores = score_library(
        model,
        (VideoBatch(**piece) for piece in in_pieces(library, video_batch)),
        (QueryBatch(**piece) for piece in in_pieces(asked, query_batch)),
        products=products,
    )
    assert scores.frame.shape == scores.clip.shape == (7, 11)
    torch.testing.assert_close(scores.frame, torch.tensor(slow(query, tokens.frames, tokens.frame_valid)))
    torch.testing.assert_close(scores.clip, torch.tensor(slow(query, tokens.clips, tokens.clip_valid)))
    assert not scores.frame.requires_grad


def test_queries_stay_in_order() -> None:
    model, asked = Lines(), queries(5)
    pieces = (QueryBatch(**piece) for piece in in_pieces(asked, 2))
    torch.testing.assert_close(encode_queries(model, pieces), model.encode_queries(asked).detach())
