from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.types import QueryBatch, RetrievalModel
from prvr.methods.msc.loss import LossConfig, MSCSeen, MSCSettings, objective
from prvr.methods.msc.network import MSC, MSCConfig
from prvr.methods.msc.official import OFFICIAL, official_names, undecayed
from prvr.methods.msc.prepare import PrepareConfig
from prvr.methods.official import stack_depth
from prvr.parts.towers import cut_sentence
from tests.methods.family import padded
from tests.methods.make import SMALL, batch, network, query_batch, seen, video_batch
from tests.parts.slow import LoopMixture


@pytest.mark.parametrize(("video_width", "text_width", "count"), [(2816, 512, 32_142_880), (768, 768, 30_660_640)])
def test_as_many_parameters_as_published(video_width: int, text_width: int, count: int) -> None:
    with torch.device("meta"):
        model = MSC(MSCConfig(video_width=video_width, text_width=text_width))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_initial_weights() -> None:
    model = MSC(replace(SMALL, hidden=64, video_width=100))
    for name, parameter in model.state_dict().items():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        elif name == "weight_token":
            assert 0.7 < float(parameter.std()) < 1.3
        elif parameter.numel() > 2000:
            assert 0.018 < float(parameter.std()) < 0.022, name


def mixture_twin(model: MSC) -> LoopMixture:
    config, mixture = model.config, model.frame_mixture
    twin = LoopMixture(config.hidden, config.heads, config.frames, list(mixture.tables), config.sft_factor)
    prefix = "frame_encoder_1."
    weights = {k.removeprefix(prefix): v for k, v in OFFICIAL.write(model.state_dict()).items() if k.startswith(prefix)}
    twin.load_state_dict(weights)
    return twin.double()


@pytest.mark.parametrize("places", [12, 7])
@pytest.mark.parametrize("sized", [True, False])
def test_the_mixture_equals_the_loop_over_blocks(places: int, sized: bool) -> None:
    model = network().double()
    twin = mixture_twin(model)
    x = torch.randn(3, places, SMALL.hidden, dtype=torch.float64, requires_grad=True)
    valid = torch.arange(places) < torch.tensor([places, places - 3, 1])[:, None]
    size = torch.randint(1, 5, (3, places)).double() if sized else None
    token = model.weight_token
    got, want = model.frame_mixture(x, token, valid, size), twin(x, token, valid, size)
    torch.testing.assert_close(got, want)
    weight = torch.randn_like(want)
    ours = torch.autograd.grad((got * weight).sum(), [x, token, *model.frame_mixture.parameters()])
    theirs = torch.autograd.grad((want * weight).sum(), [x, token, *twin.parameters()])
    torch.testing.assert_close(ours[:2], theirs[:2])
    names = [f"frame_mixture.{name}" for name, _ in model.frame_mixture.named_parameters()]
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    found = OFFICIAL.write(state | dict(zip(names, ours[2:], strict=True)))
    for (name, _), want_grad in zip(twin.named_parameters(), theirs[2:], strict=True):
        torch.testing.assert_close(found[f"frame_encoder_1.{name}"], want_grad, atol=1e-9, rtol=1e-7)


def flat(outputs: MSCSeen) -> list[Tensor]:
    return [
        outputs.query,
        *outputs.video.tokens,
        *outputs.cosine,
        *outputs.dot,
        outputs.video.frames,
        outputs.video.clips,
    ]


def test_shapes_and_scores() -> None:
    model, given = network(), batch()
    outputs = seen(model, given)
    assert outputs.query.shape == (9, 16)
    assert outputs.video.tokens.frames.shape == outputs.video.frames.shape == (4, 12, 16)
    assert outputs.video.tokens.clips.shape == outputs.video.clips.shape == (4, 5, 16)
    want = torch.stack([F.cosine_similarity(q, outputs.video.tokens.frames, dim=-1).amax(1) for q in outputs.query])
    torch.testing.assert_close(outputs.cosine.frame, want)
    torch.testing.assert_close(outputs.dot.clip, (outputs.query @ outputs.video.tokens.clips.mT).amax(2).T)
    fits: RetrievalModel = model
    assert fits.clip_weight == 0.4


def test_a_clip_lasts_from_its_first_frame_to_its_last() -> None:
    given = batch().videos
    ends = torch.rand(4, 12).cumsum(1)
    spans = torch.stack([ends - 0.1, ends], 2)
    found = network().token_spans(replace(given, frame_spans=spans, frame_valid=torch.arange(12).expand(4, -1) < 11))
    assert torch.equal(found.frames, spans)
    for v in range(4):
        for c in range(5):
            mine = [t for t in range(11) if given.slot[v, t] == c]
            want = [spans[v, mine[0], 0], spans[v, mine[-1], 1]] if mine else [torch.inf, -torch.inf]
            assert found.clips[v, c].tolist() == [float(x) for x in want]


def test_without_sizes_a_clip_counts_once() -> None:
    plain, given = network(replace(SMALL, sized_attention="none")), batch()
    sized = network()
    ones = replace(given.videos, clip_size=torch.ones_like(given.videos.clip_size))
    found = plain.encode_videos(given.videos)
    torch.testing.assert_close(found.clips, sized.encode_videos(ones).clips)
    torch.testing.assert_close(found.frames, sized.encode_videos(given.videos).frames)
    assert not torch.allclose(found.clips, sized.encode_videos(given.videos).clips, atol=1e-3)


def test_without_alignment_cbva_reads_what_is_ranked() -> None:
    bare, given = network(replace(SMALL, alignment="none")), batch()
    outputs = seen(bare, given)
    assert torch.equal(outputs.video.frames, outputs.video.tokens.frames)
    assert torch.equal(outputs.video.clips, outputs.video.tokens.clips)
    full = network()
    assert full.state_dict().keys() - bare.state_dict().keys() == {"alignment.weight", "alignment.bias"}


def test_batch_size_and_order_change_nothing() -> None:
    model, given = network(), batch()
    whole = seen(model, given)
    for v in (0, 3):
        alone = model.encode_videos(given.videos.take(torch.tensor([v])))
        torch.testing.assert_close(alone.frames[0], whole.video.tokens.frames[v])
        torch.testing.assert_close(alone.clips[0], whole.video.tokens.clips[v])
    one = given.queries.each(lambda x: x[4:5])
    assert model.encode_queries(one).shape == (1, 16)
    torch.testing.assert_close(model.encode_queries(one)[0], whole.query[4])
    back = given.queries.each(lambda x: x.flip(0))
    torch.testing.assert_close(model.encode_queries(back).flip(0), whole.query)


def test_padding_changes_nothing_values_or_gradients() -> None:
    roomy = replace(SMALL, frames=14, clips=7)
    model = network(roomy)
    short = batch()  # 12 frames, 5 clips, 5 words
    whole = seen(model, short)
    gradients = []
    for given in (short, padded(short)):
        outputs = seen(model, given)
        query, video = outputs.query, outputs.video.tokens
        loss = outputs.cosine.frame.sin().sum() + outputs.dot.clip.sin().sum() + video.frames[:, :12].cos().sum()
        gradients.append(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))
        torch.testing.assert_close(query, whole.query)
        torch.testing.assert_close(video.frames[:, :12], whole.video.tokens.frames)
        torch.testing.assert_close(video.clips[:, :5], whole.video.tokens.clips)
        assert not video.frames[:, 12:].any()
        torch.testing.assert_close(outputs.cosine.fused(0.4), whole.cosine.fused(0.4))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_long_queries_are_cut_and_long_videos_refused() -> None:
    model, long = network(), query_batch(words=9)
    cut = QueryBatch(words=long.words[:, :7], valid=long.valid[:, :7], sentence=long.sentence)
    torch.testing.assert_close(model.encode_queries(long), model.encode_queries(cut))
    with pytest.raises(ConfigError, match=r"13 frames, but model.frames=12"):
        model.encode_videos(video_batch(config=replace(SMALL, frames=13)))


def test_the_teacher_of_a_long_query_is_the_last_word_that_is_read() -> None:
    model, given = network(), replace(batch(), queries=query_batch(words=9))
    cut = QueryBatch(
        words=given.queries.words[:, :7],
        valid=given.queries.valid[:, :7],
        sentence=torch.where(
            given.queries.valid[:, 7:8], given.queries.words[:, 6], given.queries.sentence
        ),  # of longer ones the seventh word, as the authors' code has it
    )
    assert (cut.sentence != given.queries.sentence).any(1).sum() == 2
    settings = MSCSettings(model=SMALL, prepare=PrepareConfig(), loss=LossConfig(cbva=0.0))
    learn = objective(settings)
    of_long = learn(model.embed(given), given, 0).terms
    of_cut = learn(model.embed(replace(given, queries=cut)), replace(given, queries=cut), 0).terms
    for name in ("tcpl_distance", "tcpl_angle"):
        torch.testing.assert_close(of_long[name], of_cut[name])
    own = replace(given.queries, sentence=F.normalize(torch.randn_like(given.queries.sentence), dim=1))
    assert torch.equal(cut_sentence(own, 7), own.sentence), "a vector of the whole query is no word, and stays"


def test_dropout_is_for_training_and_follows_the_seed() -> None:
    model, given = network(replace(SMALL, dropout=0.3, input_dropout=0.2)), batch()
    assert all(torch.equal(a, b) for a, b in zip(flat(seen(model, given)), flat(seen(model, given)), strict=True))
    model.train()
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(seen(model, given).query)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_every_parameter_has_a_gradient() -> None:
    model, given = network(), batch()
    outputs = seen(model, given)
    torch.autograd.backward(outputs.cosine.fused(0.4).sum() + outputs.video.clips.sum())
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_official_names_cover_every_weight_once_and_lead_back() -> None:
    state = network().state_dict()
    theirs = OFFICIAL.write(state)
    assert len(theirs) == 299
    assert sum(value.numel() for value in theirs.values()) == sum(value.numel() for value in state.values())
    back = OFFICIAL.read(theirs)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    places = list(official_names().values())
    assert len(set(places)) == len(places)
    with pytest.raises(CheckpointError, match="lacks 'weight_token'"):
        OFFICIAL.read({name: value for name, value in theirs.items() if name != "weight_token"})
    with pytest.raises(CheckpointError, match="has unknown 'x'"):
        OFFICIAL.read(theirs | {"x": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"lacks 'clip_encoder.*', 'clip_encoder.*', .* and \d+ more"):
        OFFICIAL.read({name: value for name, value in theirs.items() if not name.startswith("clip_encoder")})
    with pytest.raises(CheckpointError, match=r"clip_mixture.blocks.norm1_weight differ"):
        OFFICIAL.read(theirs | {"clip_encoder.attn3.norm1.weight": torch.zeros(2)})


def test_optimiser_rules_pick_the_same_tensors_as_the_published_ones() -> None:
    for theirs, (ours, index) in official_names().items():
        spared = "bias" in theirs or "LayerNorm.weight" in theirs
        assert undecayed(ours) == spared, theirs
        assert stack_depth(ours) == len(index)
    assert stack_depth("frame_mixture.blocks.qkv_weight") == 2
    assert stack_depth("alignment.weight") == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"heads": 5}, "heads=5: does not divide"),
        ({"hidden": 0}, "hidden=0"),
        ({"clips": 200}, "clips=200"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"sft_factor": 0.0}, "sft_factor"),
        ({"widths": (None, -1.0)}, "widths"),
        ({"clip_weight": 1.5}, "clip_weight"),
    ],
)
def test_settings_are_judged_at_birth(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MSCConfig(video_width=4, text_width=4, **setting)
