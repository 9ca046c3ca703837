from __future__ import annotations

import torch
import torch.nn.functional as F

from prvr.methods.msc.vcpl import retrieved_segments, spread_segments
from tests.methods.make import batch, network, seen


def test_spread_by_hand() -> None:
    tokens = torch.arange(16.0).view(2, 8, 1)
    valid = torch.arange(8) < torch.tensor([8, 4])[:, None]  # middles of stretches of two tokens, and of one
    student, teacher = spread_segments(tokens, -tokens, valid, count=4)
    assert student.flatten().tolist() == [1, 3, 5, 7, 8, 9, 10, 11]
    assert torch.equal(teacher, -student)
    few, _ = spread_segments(tokens, tokens, valid[:, :8] & (torch.arange(8) < 1), count=4)
    assert few.flatten().tolist() == [0] * 4 + [8] * 4


def test_retrieved_equals_the_loop_and_moves_the_chosen_tokens() -> None:
    given = batch()
    outputs = seen(network(), given)
    tokens, valid = outputs.video.tokens.frames.detach().requires_grad_(), outputs.video.tokens.frame_valid
    query, truth = outputs.query.detach(), given.video_of_query
    student, teacher = retrieved_segments(tokens, given.videos.frames, valid, query=query, video_of_query=truth)
    weight, want = torch.randn_like(student), torch.zeros_like(tokens)
    for q, v in enumerate(truth.tolist()):
        place = int(F.cosine_similarity(query[q], tokens[v], dim=-1).argmax())
        assert torch.equal(student[q], tokens[v, place])
        assert torch.equal(teacher[q], given.videos.frames[v, place])
        want[v, place] += weight[q]
    torch.testing.assert_close(torch.autograd.grad((student * weight).sum(), tokens)[0], want)


def test_padding_is_never_chosen() -> None:
    given = batch()
    outputs = seen(network(), given)
    tokens, valid = outputs.video.tokens.clips, outputs.video.tokens.clip_valid
    more = F.pad(tokens, (0, 0, 0, 3), value=50.0), F.pad(valid, (0, 3))
    features = F.pad(given.videos.clips, (0, 0, 0, 3))
    choice = {"query": outputs.query, "video_of_query": given.video_of_query}
    for got, want in zip(
        (
            *retrieved_segments(more[0], features, more[1], **choice),
            *spread_segments(more[0], features, more[1], count=4),
        ),
        (
            *retrieved_segments(tokens, given.videos.clips, valid, **choice),
            *spread_segments(tokens, given.videos.clips, valid, count=4),
        ),
        strict=True,
    ):
        assert torch.equal(got, want)
