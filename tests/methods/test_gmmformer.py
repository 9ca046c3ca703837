from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.types import Made, QueryAtVideo, RetrievalModel, VideoTokens
from prvr.methods.family import ComparedTwice
from prvr.methods.gmmformer.loss import GMMFormerLoss, Settings, objective
from prvr.methods.gmmformer.network import GMMFormer, GMMFormerConfig
from prvr.methods.gmmformer.official import OFFICIAL, official_names
from prvr.methods.official import stack_depth, undecayed
from prvr.parts.bert_adam import published_undecayed
from prvr.parts.gaussian import gaussian_table
from prvr.parts.objective import Objective
from prvr.parts.towers import TwiceRead
from prvr.parts.uniform import UniformConfig
from tests.methods.family import (
    CLIPS,
    FRAMES,
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

SMALL = GMMFormerConfig(**TINY, clips=CLIPS + 2, gaussian_length=FRAMES + 2)


def loss(config: GMMFormerConfig = SMALL) -> Objective[Made[TwiceRead, VideoTokens], ComparedTwice]:
    loss = GMMFormerLoss(hard_from_epoch=0, hard_pool=1)
    return objective(Settings(model=config, prepare=UniformConfig(), loss=loss))


@pytest.mark.parametrize(
    ("widths", "words", "count"),
    [((2816, 512), 77, 12_569_856), ((3072, 768), 30, 12_848_256), ((1024, 1024), 30, 11_366_016)],
)
def test_as_many_parameters_as_published(widths: tuple[int, int], words: int, count: int) -> None:
    with torch.device("meta"):
        model = GMMFormer(GMMFormerConfig(video_width=widths[0], text_width=widths[1], max_words=words))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def loop_layer(x: Tensor, weights: dict[str, Tensor], name: str, table: Tensor | None, valid: Tensor) -> Tensor:
    """One attention layer of one video, (N, D), head by head, from weights under the authors' names."""
    d = x.shape[1] // SMALL.heads
    query, key, value = (
        F.linear(x, weights[f"{name}.self.{part}.weight"], weights[f"{name}.self.{part}.bias"])
        for part in ("query", "key", "value")
    )
    heads = []
    for h in range(SMALL.heads):
        part = slice(h * d, (h + 1) * d)
        logits = query[:, part] @ key[:, part].T / math.sqrt(d)
        logits = logits if table is None else logits * table
        heads.append((logits + torch.where(valid, 0.0, -10000.0)).softmax(1) @ value[:, part])
    dense = F.linear(torch.cat(heads, 1), weights[f"{name}.output.dense.weight"], weights[f"{name}.output.dense.bias"])
    norm = weights[f"{name}.output.LayerNorm.weight"], weights[f"{name}.output.LayerNorm.bias"]
    return F.layer_norm(x + dense, x.shape[1:], *norm)


def test_two_layers_of_means_equal_the_loop() -> None:
    model, given = roused(GMMFormer(SMALL)), batch().videos
    weights = OFFICIAL.write(model.state_dict())
    tokens = model.encode_videos(given)
    begun = model.frame_positions(model.frame_input(given.frames))
    n = given.frames.shape[1]
    for v in range(len(given)):
        x, valid = begun[v], given.frame_valid[v]
        for layer in ("frame_encoder_1", "frame_encoder_2"):
            tables = [None if w is None else gaussian_table(SMALL.frames, w)[:n, :n] for w in SMALL.widths]
            x = torch.stack(
                [loop_layer(x, weights, f"{layer}.attn{k}", table, valid) for k, table in enumerate(tables)]
            ).mean(0)
        share = model.frame_pooling.score(x[valid]).softmax(0)
        torch.testing.assert_close(tokens.frames[v, 0], (share * x[valid]).sum(0), atol=1e-5, rtol=1e-4)
    assert tokens.frames.shape == (len(given), 1, SMALL.hidden)
    assert bool(tokens.frame_valid.all())


def test_a_gaussian_over_the_longest_video_of_the_batch() -> None:
    """As released; it is the same as a fixed length where some video is so long, and padding does not count."""
    given = batch((30, 7))
    fixed = roused(GMMFormer(replace(SMALL, gaussian_length=FRAMES)))
    longest = GMMFormer(replace(SMALL, gaussian_length=None)).eval()
    longest.load_state_dict(fixed.state_dict())
    torch.testing.assert_close(longest.encode_videos(given.videos), fixed.encode_videos(given.videos))
    alone = only(given, 1).videos
    torch.testing.assert_close(fixed.encode_videos(alone).frames[0], fixed.encode_videos(given.videos).frames[1])
    assert not torch.allclose(
        longest.encode_videos(alone).frames[0], longest.encode_videos(given.videos).frames[1], atol=1e-4
    )
    check_padding(longest, loss(), given)


def test_padding_order_and_company_change_nothing() -> None:
    model, given = roused(GMMFormer(SMALL)), batch()
    check_padding(model, loss(), given)
    check_order(model, loss(), given)
    check_small_batches(model, loss(), given)
    assert without_gradient(model, loss(), given) == []


def test_fits_what_reads_it() -> None:
    model, given = roused(GMMFormer(SMALL)), batch()
    fits: RetrievalModel = model
    assert fits.clip_weight == 0.7
    assert not isinstance(model, QueryAtVideo)
    outputs, tokens = seen(loss(), model, given), model.encode_videos(given.videos)
    cosine = F.cosine_similarity(outputs.query.query[:, None], tokens.frames[:, 0], dim=-1)
    torch.testing.assert_close(outputs.cosine.frame, cosine)
    spans = model.token_spans(given.videos)
    assert spans.frames.shape == (4, 1, 2)
    assert spans.clips.shape == (4, CLIPS, 2)
    assert spans.frames[:, 0].tolist() == [[0, 29], [0, 12], [0, 7], [0, 3]]  # averaging leaves out the last frame


def test_two_draws_of_dropout_where_the_authors_draw_twice() -> None:
    given = batch()
    for draws in (1, 2):
        model = roused(GMMFormer(replace(SMALL, dropout=0.4, query_draws=draws)))
        model.train()
        torch.manual_seed(1)
        outputs = seen(loss(), model, given)
        ranked = F.normalize(outputs.query.again, dim=-1) @ F.normalize(outputs.video.frames[:, 0], dim=-1).T
        assert torch.allclose(ranked, outputs.cosine.frame, atol=1e-5) == (draws == 1)
        assert torch.equal(seen(loss(), model.eval(), given).query.again, model.encode_queries(given.queries))


def test_too_long_is_refused() -> None:
    model = GMMFormer(SMALL)
    with pytest.raises(ConfigError, match=r"15 frames, but model.gaussian_length=14; .*prepare.frames=14"):
        model.encode_videos(batch(frames=15).videos)
    with pytest.raises(ConfigError, match="model.gaussian_length=15: must be from 1 to model.frames=14"):
        replace(SMALL, gaussian_length=15)
    with pytest.raises(ConfigError, match="model.heads=3"):
        replace(SMALL, heads=3)


def test_official_names_lead_back_and_keep_the_optimisers_rules() -> None:
    state = roused(GMMFormer(SMALL)).state_dict()
    theirs = OFFICIAL.write(state)
    assert sum(value.numel() for value in theirs.values()) == sum(value.numel() for value in state.values())
    back = OFFICIAL.read(theirs)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    for name, (ours, index) in official_names().items():
        assert undecayed(ours) == published_undecayed(name), name
        assert stack_depth(ours) == len(index), name
    with pytest.raises(CheckpointError, match="is not that of a released GMMFormer: it lacks 'modular_vector"):
        OFFICIAL.read({name: value for name, value in theirs.items() if name != "modular_vector_mapping_2.weight"})
    with pytest.raises(CheckpointError, match="has unknown 'weight_token'"):
        OFFICIAL.read(theirs | {"weight_token": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"layers of clip_mixtures.1.norm_bias differ"):
        OFFICIAL.read(theirs | {"clip_encoder_2.attn3.output.LayerNorm.bias": torch.zeros(2)})
