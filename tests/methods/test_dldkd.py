from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.types import Batch, FeatureSpec, Made, QueryAtVideo, RetrievalModel, Teacher, VideoTokens
from prvr.evaluation.scoring import score_tokens
from prvr.methods.dldkd import runs as dldkd
from prvr.methods.dldkd.loss import DLDKDLoss, DLDKDSeen, Settings, objective
from prvr.methods.dldkd.network import DLDKD, BranchQueries, DLDKDConfig
from prvr.methods.dldkd.official import OFFICIAL, OFFICIAL_PLUS, official_names
from prvr.methods.official import stack_depth, undecayed
from prvr.parts.bert_adam import published_undecayed
from prvr.parts.objective import Objective
from prvr.parts.uniform import UniformConfig, prepare_frames
from prvr.training.step import make_step
from tests.methods.family import (
    FRAMES,
    TINY,
    VIDEO,
    batch,
    check_order,
    check_padding,
    check_small_batches,
    learned,
    only,
    roused,
    seen,
    without_gradient,
)

SMALL = replace(DLDKDConfig(**TINY), text_width=VIDEO)
PLUS = replace(SMALL, shared_words=False)


def given_batch(**options: Any) -> Batch[Any]:
    return batch(text=VIDEO, prepare=prepare_frames, **options)


def loss(config: DLDKDConfig = SMALL, **options: Any) -> Objective[Made[BranchQueries, VideoTokens], DLDKDSeen]:
    given = DLDKDLoss(**{"hard_pool": 1} | options)
    return objective(Settings(model=config, prepare=UniformConfig(), loss=given))


@pytest.mark.parametrize("config", [SMALL, PLUS])
def test_padding_order_and_company_change_nothing(config: DLDKDConfig) -> None:
    model, given = roused(DLDKD(config)), given_batch()
    options: dict[str, Any] = {} if config.shared_words else {"labels": "soft", "teacher_scale": 5.0}
    check_padding(model, loss(config, **options), given)
    check_small_batches(model, loss(config, **options), given)
    assert without_gradient(model, loss(config, **options), given) == []
    check_order(model, loss(config), given)  # among videos of as many queries, order decides which labels are soft


def test_one_vector_a_query_ranks_as_two_do() -> None:
    model, given = roused(DLDKD(SMALL)), given_batch()
    outputs = seen(loss(), model, given)
    query, tokens = model.encode_queries(given.queries), model.encode_videos(given.videos)
    assert query.shape == (9, 2 * SMALL.hidden)
    scores = score_tokens(query, [tokens])
    torch.testing.assert_close(scores.frame, outputs.cosine.frame / 2**0.5)
    torch.testing.assert_close(scores.clip, outputs.cosine.clip / 2**0.5)
    fits: RetrievalModel = model
    assert fits.clip_weight == 0.3
    assert not isinstance(model, QueryAtVideo)
    assert torch.equal(model.token_spans(given.videos).clips, given.videos.frame_spans)
    alone = model.encode_videos(only(given, 3).videos)
    torch.testing.assert_close(alone.frames[0], tokens.frames[3])


@torch.no_grad()
def test_branches_read_words_through_one_projection_or_two() -> None:
    queries = given_batch().queries
    for config in (SMALL, PLUS):
        model = roused(DLDKD(config))
        before = model.branch_queries(queries)
        model.query_input.linear.weight.zero_()
        after = model.branch_queries(queries)
        assert not torch.allclose(before[0], after[0], atol=1e-3)
        assert torch.allclose(before[1], after[1], atol=1e-3) == (config is PLUS)


def test_the_teacher_fades_and_its_absence_is_said() -> None:
    model, given = roused(DLDKD(SMALL)), given_batch()
    parts = {epoch: learned(loss(), model, given, epoch).terms["distill"] for epoch in (0, 10)}
    torch.testing.assert_close(parts[10], parts[0] * 0.95**10)
    recipe = dldkd.tvr()
    spec = FeatureSpec(name="a pack", revision="1", video_width=768, text_width=768)
    assert recipe.trainable is not None
    recipe.trainable(recipe.settings, spec)
    assert recipe.method.width(recipe.settings.model, spec) == 768
    apart = replace(spec, video_width=2816, text_width=512)
    settings = recipe.with_settings(["model.video_width=2816", "model.text_width=512"]).settings
    with pytest.raises(ConfigError, match=r"frames are 2816 wide and sentences 512, .* no teacher for DL-DKD"):
        recipe.trainable(settings, apart)
    recipe.trainable(replace(settings, loss=replace(settings.loss, distill=0.0)), apart)
    with pytest.raises(ConfigError, match="no teacher"):
        recipe.trainable(replace(settings, loss=replace(settings.loss, distill=0.0, labels="soft")), apart)
    recipe.trainable(settings, replace(apart, teacher=spec))
    alone = replace(spec, name="sentences", video_width=0)
    with pytest.raises(ConfigError, match=r"sentences: holds sentences alone, .*; .*--teacher FOLDER` takes"):
        recipe.trainable(settings, replace(apart, teacher=alone))
    for simulated, words in ((False, "never seen a picture"), (True, "a random map")):
        foreign = replace(spec, shared_space=False, simulated=simulated)
        with pytest.raises(ConfigError, match=words):
            recipe.trainable(recipe.settings, foreign)


def test_a_teacher_of_its_own_is_read_as_it_was_made() -> None:
    """Soft labels read raw products: the scale is for features of length 1 alone."""
    model, given = roused(DLDKD(PLUS)), given_batch()
    own = Teacher(frames=given.videos.frames, sentence=given.queries.sentence * 7)
    found = [
        learned(loss(PLUS, labels="soft", teacher_scale=scale), model, one, 30).terms
        for one, scale in ((given, 7.0), (replace(given, teacher=own), 7.0), (replace(given, teacher=own), 1.0))
    ]
    for name in ("nce_frame", "distill"):
        torch.testing.assert_close(found[1][name], found[0][name])
        assert torch.equal(found[1][name], found[2][name])
    other = learned(loss(PLUS, labels="soft", teacher_scale=100.0), model, given, 30).terms
    assert not torch.allclose(other["nce_frame"], found[0]["nce_frame"])


def test_without_a_teacher_none_is_read() -> None:
    model = roused(DLDKD(SMALL))
    given = given_batch()
    given = replace(given, queries=replace(given.queries, sentence=torch.zeros(9, 3)))  # of another space
    total, parts = learned(loss(distill=0.0), model, given)
    assert parts.keys() == {"nce_clip", "nce_frame", "triplet_clip", "triplet_frame"}
    assert total.isfinite()


def test_own_soft_labels_learn_or_do_not() -> None:
    model, given = roused(DLDKD(PLUS)), given_batch()
    gradients = []
    for targets in ("live", "detached"):
        model.zero_grad()
        total, _ = learned(loss(PLUS, labels="soft", self_targets=targets), model, given, 60)
        torch.autograd.backward(total)
        weight = model.explore.frame_output.weight.grad
        assert weight is not None
        gradients.append((total.detach(), weight))
    torch.testing.assert_close(gradients[0][0], gradients[1][0])
    assert not torch.allclose(gradients[0][1], gradients[1][1], atol=1e-6)


@pytest.mark.parametrize("taught", [False, True])
def test_the_cut_step_has_the_same_gradients(taught: bool) -> None:
    model, given = roused(DLDKD(PLUS)), given_batch()
    if taught:
        given = replace(given, teacher=Teacher(frames=torch.randn(4, FRAMES, 3) * 9, sentence=torch.randn(9, 3) * 9))
    gradients = []
    for precision in ("fp32", "tf32"):
        model.zero_grad()
        make_step(model, loss(PLUS, labels="soft"), precision=precision)(given, 0, 0)
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("plus", [False, True])
def test_official_names_lead_back_and_keep_the_optimisers_rules(plus: bool) -> None:
    state = roused(DLDKD(PLUS if plus else SMALL)).state_dict()
    official, other = (OFFICIAL_PLUS, OFFICIAL) if plus else (OFFICIAL, OFFICIAL_PLUS)
    theirs = official.write(state)
    unread = {} if plus else {"A_query_input_proj.net.1.weight": torch.zeros(1)}
    back = official.read(theirs | unread)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    for name, (ours, index) in official_names(plus=plus).items():
        assert undecayed(ours) == published_undecayed(name), name
        assert stack_depth(ours) == len(index), name
    with pytest.raises(CheckpointError, match="is not that of a released DL-DKD"):
        other.read(theirs)


def test_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"15 frames, but model.frames=14"):
        DLDKD(SMALL).encode_videos(given_batch(frames=15).videos)
    assert F.normalize(DLDKD(SMALL).encode_queries(given_batch().queries), dim=1).shape == (9, 32)
