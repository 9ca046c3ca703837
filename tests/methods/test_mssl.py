from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.types import Batch, Made, QueryAtVideo, RetrievalModel, VideoTokens
from prvr.methods.family import RetrievalLoss
from prvr.methods.mssl.anchoring import Anchored
from prvr.methods.mssl.loss import Settings, objective
from prvr.methods.mssl.network import MSSL, Guides, MSSLConfig
from prvr.methods.mssl.official import OFFICIAL, official_names
from prvr.methods.official import stack_depth, undecayed
from prvr.parts import proposals
from prvr.parts.bert_adam import published_undecayed
from prvr.parts.objective import Objective
from prvr.parts.uniform import UniformConfig
from prvr.training.step import make_step
from tests.methods.family import (
    CLIPS,
    TINY,
    batch,
    check_order,
    check_padding,
    check_small_batches,
    only,
    roused,
    seen,
    without_gradient,
)

SMALL = MSSLConfig(**TINY, clips=CLIPS + 2)


def loss(**options: Any) -> Objective[Made[Tensor, Guides], Anchored]:
    given = RetrievalLoss(**{"hard_from_epoch": 0, "hard_pool": 1} | options)
    return objective(Settings(model=SMALL, prepare=UniformConfig(), loss=given))


@torch.no_grad()
def loop_scores(model: MSSL, given: Batch[Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Every query with every video, one pair at a time, as the paper has it -> clip, frame, and the guided vectors."""
    query, found = model.encode_queries(given.queries), model.contextual(given.videos)
    clip, frame = torch.zeros(2, len(query), len(given.videos))
    guided = torch.zeros(len(query), len(given.videos), SMALL.hidden)
    for q in range(len(query)):
        for v in range(len(given.videos)):
            clips = found.clips[v]
            every = [clips[i : i + k].mean(0) for k in range(1, len(clips) + 1) for i in range(len(clips) - k + 1)]
            cosines = torch.stack([F.cosine_similarity(query[q], p, dim=0) for p in every])
            key = every[int(cosines.argmax())]
            frames = found.frames[v][found.frame_valid[v]]
            weights = torch.stack([model.guide_key(f) @ key for f in frames]).softmax(0)
            guided[q, v] = sum(
                (w * model.guide_value(f) for w, f in zip(weights, frames, strict=True)), torch.zeros(())
            )
            clip[q, v], frame[q, v] = cosines.max(), F.cosine_similarity(query[q], guided[q, v], dim=0)
    return clip, frame, guided


@torch.no_grad()
def test_scores_equal_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = roused(MSSL(SMALL)), batch()
    clip, frame, _ = loop_scores(model, given)
    query, tokens = model.encode_queries(given.queries), model.encode_videos(given.videos)
    scores = model.scores(query, tokens)
    torch.testing.assert_close(scores.clip, clip, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scores.frame, frame, atol=1e-5, rtol=1e-4)
    assert tokens.clips.shape == tokens.frames.shape == (4, CLIPS * (CLIPS + 1) // 2, SMALL.hidden)
    monkeypatch.setattr(proposals, "_AT_A_TIME", 1)  # one query at a time
    torch.testing.assert_close(model.scores(query, tokens), scores)


def test_training_reads_the_guidance_of_the_own_video() -> None:
    """Column k of a frame score is the video of query k as query k makes it look."""
    model, given = roused(MSSL(SMALL)), batch()
    clip, _, guided = loop_scores(model, given)
    found = seen(loss(), model, given)
    query, own = model.encode_queries(given.queries), given.video_of_query
    looked = guided[torch.arange(len(query)), own]
    torch.testing.assert_close(found.cosine.clip, clip, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.dot.frame, query @ looked.T, atol=1e-5, rtol=1e-4)
    want = F.normalize(query, dim=1) @ F.normalize(looked, dim=1).T
    torch.testing.assert_close(found.cosine.frame, want, atol=1e-5, rtol=1e-4)


def test_padding_order_and_company_change_nothing() -> None:
    model, given = roused(MSSL(SMALL)), batch()
    check_padding(model, loss(), given)
    check_order(model, loss(), given)
    check_small_batches(model, loss(), given)
    assert without_gradient(model, loss(), given) == []


@torch.no_grad()
def test_clips_that_are_not_there_make_no_proposal() -> None:
    model, given = roused(MSSL(SMALL)), batch()
    short = replace(given.videos, clip_size=given.videos.clip_size * (torch.arange(CLIPS) < 3))
    cut = replace(short, clips=short.clips[:, :3], clip_size=short.clip_size[:, :3])
    query = model.encode_queries(given.queries)
    ours, theirs = (model.scores(query, model.encode_videos(x)) for x in (short, cut))
    torch.testing.assert_close(ours, theirs)
    assert int(model.encode_videos(short).clip_valid.sum()) == 4 * 6


def test_fits_what_reads_it() -> None:
    model, given = roused(MSSL(SMALL)), batch()
    fits: RetrievalModel = model
    assert fits.clip_weight == 0.7
    assert isinstance(model, QueryAtVideo)
    tokens, spans = model.encode_videos(given.videos), model.token_spans(given.videos)
    assert spans.frames.shape == spans.clips.shape == (*tokens.clips.shape[:2], 2)
    assert spans.clips[0, [0, CLIPS, -1]].tolist() == [[0, 8], [0, 12], [0, 29]]  # one clip, two, all five
    torch.testing.assert_close(tokens.clips[0, CLIPS], tokens.clips[0, :2].mean(0))


def test_the_cut_step_has_the_same_gradients() -> None:
    """As bf16 and several processes need it: towers first, then all comparing from what they made."""
    model, given = roused(MSSL(SMALL)), batch()
    gradients = []
    for precision in ("fp32", "tf32"):
        model.zero_grad()
        make_step(model, loss(), precision=precision)(given, 0, 0)
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"15 frames, but model.frames=14"):
        MSSL(SMALL).encode_videos(batch(frames=15).videos)
    with pytest.raises(ConfigError, match=r"8 clips, but model.clips=7"):
        MSSL(SMALL).encode_videos(batch(clips=8).videos)
    with pytest.raises(ConfigError, match=r"model.clips=20: cannot be more than model.frames=14"):
        replace(SMALL, clips=20)


def test_official_names_lead_back_and_keep_the_optimisers_rules() -> None:
    state = roused(MSSL(SMALL)).state_dict()
    theirs = OFFICIAL.write(state)
    back = OFFICIAL.read(theirs)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    for name, (ours, index) in official_names().items():
        assert undecayed(ours) == published_undecayed(name), name
        assert stack_depth(ours) == len(index), name
    with pytest.raises(CheckpointError, match="released MS-SL: it lacks 'mapping_linear.0.weight'"):
        OFFICIAL.read({name: value for name, value in theirs.items() if name != "mapping_linear.0.weight"})


def test_company_does_not_matter_to_tokens() -> None:
    model, given = roused(MSSL(SMALL)), batch()
    whole: VideoTokens = model.encode_videos(given.videos)
    alone = model.encode_videos(only(given, 3).videos)
    torch.testing.assert_close(alone.frames[0], whole.frames[3])
    torch.testing.assert_close(alone.clips[0], whole.clips[3])
