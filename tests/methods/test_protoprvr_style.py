"""ProtoPRVR-style: what prototypes read, what is read back from them, and what its description promises."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Made, QueryAtVideo, RetrievalModel, VideoTokens
from prvr.data.folder import DataFolder
from prvr.methods.family import bert_adam
from prvr.methods.protoprvr_style.layers import FrameDecoder, PrototypeLayer, WordDecoder, looked_at, masked_places
from prvr.methods.protoprvr_style.loss import ProtoLoss, ProtoSeen, Settings, objective
from prvr.methods.protoprvr_style.network import (
    TAUGHT,
    Draws,
    ProtoPRVRStyle,
    ProtoPRVRStyleConfig,
    ProtoQueries,
    ProtoVideos,
)
from prvr.methods.protoprvr_style.splicing import splice
from prvr.methods.recipe import load_recipe
from prvr.parts.attention_layers import reset_parameters
from prvr.parts.objective import Objective
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import ClipVideos
from prvr.runs.train import Splits, train_run
from prvr.training.step import make_step
from tests.methods.family import (
    CLIPS,
    FRAMES,
    TEXT,
    TINY,
    batch,
    check_order,
    check_padding,
    check_small_batches,
    learned,
    roused,
    seen,
    shuffled,
    without_gradient,
)

SMALL = ProtoPRVRStyleConfig(**TINY, clips=CLIPS + 2, prototypes=4)


Part = TypeVar("Part", bound=nn.Module)


class Drawn(nn.Module):
    """The model with chance taken out: what is masked and mixed follows the videos and queries of one batch."""

    def __init__(self, model: ProtoPRVRStyle, given: Batch[Any]) -> None:
        super().__init__()
        self.model = model
        videos, queries = len(given.videos), len(given.queries)
        self.draws = Draws(torch.rand(queries, 7), torch.randperm(videos), torch.rand(videos // 2), mixing=True)

    def embed(self, given: Batch[ClipVideos]) -> Made[ProtoQueries, ProtoVideos]:
        return self.model.embed(given, self.draws)


def loss(**options: Any) -> Objective[Made[ProtoQueries, ProtoVideos], ProtoSeen]:
    given = ProtoLoss(**{"hard_from_epoch": 0, "hard_pool": 1, "best_from_epoch": 0} | options)
    return objective(Settings(model=SMALL, prepare=UniformConfig(), loss=given))


def fresh(part: Part) -> Part:
    reset_parameters(part)
    return roused(part)


def some_tokens(valid_frames: int = 6, valid_clips: int = 4) -> VideoTokens:
    frames, clips = torch.randn(2, 8, 16), torch.randn(2, 5, 16)
    frame_valid = torch.arange(8).expand(2, 8) < torch.tensor([[8], [valid_frames]])
    return VideoTokens(frames, frame_valid, clips, torch.arange(5).expand(2, 5) < torch.tensor([[5], [valid_clips]]))


def every_token(video: VideoTokens, v: int) -> list[Tensor]:
    """All that prototypes may look at, made one by one: frames, then runs of clips, the shortest first."""
    clips = video.clips[v]
    runs = [clips[i : i + k].mean(0) for k in range(1, len(clips) + 1) for i in range(len(clips) - k + 1)]
    return [*video.frames[v], *runs]


def real(video: VideoTokens, v: int) -> list[bool]:
    clips = video.clip_valid[v].tolist()
    runs = [all(clips[i : i + k]) for k in range(1, len(clips) + 1) for i in range(len(clips) - k + 1)]
    return [*video.frame_valid[v].tolist(), *runs]


def slow_layer(layer: PrototypeLayer, x: Tensor, tokens: list[Tensor]) -> tuple[Tensor, Tensor]:
    """One video, (L, D) and N real tokens: every token is projected, head after head."""
    keys = torch.stack([layer.key(token) for token in tokens]).chunk(layer.num_heads, dim=1)
    values = torch.stack([layer.value(token) for token in tokens]).chunk(layer.num_heads, dim=1)
    queries = layer.query(x).chunk(layer.num_heads, dim=1)
    looked = [(q @ k.T / math.sqrt(q.shape[1])).softmax(1) for q, k in zip(queries, keys, strict=True)]
    read = torch.cat([a @ v for a, v in zip(looked, values, strict=True)], dim=1)
    out: Tensor = layer.norm(x + layer.out(read))
    return out, torch.stack(looked).mean(0)


def test_prototypes_read_every_run_of_clips() -> None:
    """Attention sums to 1 over what is real and is 0 elsewhere, and the runs that are never made count as if made."""
    layer, video = roused(PrototypeLayer(16, 2, 0.0)), some_tokens()
    x = torch.randn(2, 3, 16, requires_grad=True)
    out, looked = layer(x, video)
    assert looked.shape == (2, 3, 8 + 15)
    torch.testing.assert_close(looked.sum(2), torch.ones(2, 3))
    for v in range(2):
        there = torch.tensor(real(video, v))
        assert not looked[v][:, ~there].any()
        tokens = [token for token, ok in zip(every_token(video, v), real(video, v), strict=True) if ok]
        want, attention = slow_layer(layer, x[v], tokens)
        torch.testing.assert_close(out[v], want, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(looked[v][:, there], attention, atol=1e-5, rtol=1e-4)
        gradients = [
            torch.autograd.grad(y.square().sum(), [x, *layer.parameters()], retain_graph=True) for y in (out[v], want)
        ]
        torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_order_of_what_is_read_does_not_matter() -> None:
    model, given, order = roused(ProtoPRVRStyle(SMALL)), some_tokens(8), torch.randperm(8)
    moved = given._replace(frames=given.frames[:, order], frame_valid=given.frame_valid[:, order])
    torch.testing.assert_close(model.read(moved)[0], model.read(given)[0])
    layer, tokens, x = roused(PrototypeLayer(16, 2, 0.0)), every_token(given, 0), torch.randn(3, 16)
    other = [tokens[i] for i in torch.randperm(len(tokens))]
    torch.testing.assert_close(slow_layer(layer, x, other)[0], slow_layer(layer, x, tokens)[0])


def test_words_are_guessed_from_one_prototype() -> None:
    """A softmax over a single key is 1, so that no query and no key is needed."""
    decoder = fresh(WordDecoder(16, TEXT, 2, 0.0))
    words, prototype, valid = torch.randn(3, 5, 16), torch.randn(3, 16), torch.arange(5) < torch.tensor([[5], [2], [1]])
    places = torch.tensor([[4, 0], [1, 1], [0, 0]])
    found = decoder(words, valid, prototype, places)
    for q in range(3):
        key = torch.randn(16)
        weight = (words[q] @ key[:, None]).softmax(1)  # of one key
        x = decoder.norm(words[q] + decoder.out(weight @ decoder.value(prototype[q])[None]))
        n = int(valid[q].sum())
        mixed = decoder.layer(x[None, :n])[0, 0]
        torch.testing.assert_close(found[q], decoder.word(mixed[places[q]]), atol=1e-5, rtol=1e-4)


def test_frames_are_rebuilt_as_the_loop_does(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, prototypes = fresh(FrameDecoder(6, 5)), torch.randn(3, 2, 6, requires_grad=True)
    found = decoder(prototypes, 4)
    want = torch.zeros(3, 4, 6)
    for v in range(3):
        for t in range(4):
            hidden = [F.relu(decoder.hidden(p + decoder.places[t])) for p in prototypes[v]]
            weights = torch.stack([decoder.say(h)[0] for h in hidden]).softmax(0)
            want[v, t] = sum((w * decoder.frame(h) for w, h in zip(weights, hidden, strict=True)), torch.zeros(6))
    torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-4)
    leaves = [prototypes, *decoder.parameters()]
    ours, theirs = (torch.autograd.grad(x.square().sum(), leaves, retain_graph=True) for x in (found, want))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    monkeypatch.setattr("prvr.methods.protoprvr_style.layers._AT_A_TIME", 1)  # one video at a time
    torch.testing.assert_close(decoder(prototypes, 4), found)


def test_two_videos_end_to_end() -> None:
    """By a loop; and by hand: four frames in two places are two means, one frame in two places is there twice."""
    counts = [6, 1, 4, 3]
    valid = torch.arange(6) < torch.tensor(counts)[:, None]
    tokens = torch.randn(4, 6, 5) * valid[..., None]
    first, second, share = torch.tensor([0, 2]), torch.tensor([1, 3]), torch.tensor([0.3, 0.5])
    made = splice(tokens, valid, first, second, share)
    assert made.cut.tolist() == [2, 2]
    assert made.valid.sum(1).tolist() == [6, 4]
    for p, (a, b) in enumerate(((0, 1), (2, 3))):
        rows = []
        for v, places in ((a, int(made.cut[p])), (b, max(counts[a], counts[b]) - int(made.cut[p]))):
            for j in range(places):
                low, high = j * counts[v] // places, (j + 1) * counts[v] // places
                rows.append(F.normalize(tokens[v, low : max(high, low + 1)].mean(0), dim=0))
        torch.testing.assert_close(made.tokens[p, : len(rows)], torch.stack(rows))
        assert not made.tokens[p, len(rows) :].any()
    line = torch.eye(4)[None]
    four = splice(line.expand(2, -1, -1), torch.ones(2, 4) > 0, torch.tensor([0]), torch.tensor([1]), torch.ones(1) / 2)
    torch.testing.assert_close(four.tokens[0, 0], F.normalize(torch.tensor([1.0, 1, 0, 0]), dim=0))
    lone = torch.randn(2, 1, 3)
    pair = splice(lone, torch.ones(2, 1) > 0, torch.tensor([1]), torch.tensor([0]), torch.ones(1))
    torch.testing.assert_close(pair.tokens[0], F.normalize(lone[[1, 0], 0], dim=1))


def test_shares_of_attention_by_hand() -> None:
    """Frames 0 1 | 2, clips 0 | 1 and the run of both, which is neither's."""
    looked = torch.tensor([[[0.1, 0.2, 0.3, 0.05, 0.15, 0.2]]])
    found = looked_at(looked, 3, 2, (torch.tensor([2]), torch.tensor([1])))
    torch.testing.assert_close(found, torch.tensor([[[0.35 / 0.8, 0.45 / 0.8]]]), atol=1e-5, rtol=0)


def test_masked_words_are_a_share_and_at_least_one() -> None:
    valid = torch.arange(10) < torch.tensor([[10], [7], [1], [2]])
    places = masked_places(torch.rand(4, 10), valid, 0.3)
    assert places.shape == (4, 3)
    assert (places >= 0).sum(1).tolist() == [3, 2, 1, 1]
    assert all(p < n for row, n in zip(places.tolist(), (10, 7, 1, 2), strict=True) for p in row)
    draws = torch.tensor([[0.5, 0.1, 0.9, 0.2, 0.3]])
    assert masked_places(draws, torch.tensor([[True, False, True, True, True]]), 0.5).tolist() == [[3, 4]]


@torch.no_grad()
def test_what_losses_read_is_made_one_by_one() -> None:
    """The prototype that a query likes best tells its hidden words; the mixture that a video is in is a video too."""
    model, given = roused(ProtoPRVRStyle(SMALL)), batch()
    drawn = Drawn(model, given)
    found, own = seen(loss(), drawn, given), given.video_of_query
    asked, video = found.query, found.video
    made = model.encode_videos(given.videos).frames
    torch.testing.assert_close(video.prototypes, made)
    torch.testing.assert_close(asked.query, model.encode_queries(given.queries))
    cosine = torch.stack([F.cosine_similarity(q, made, dim=2).amax(1) for q in asked.query])
    torch.testing.assert_close(found.cosine.frame, cosine)
    torch.testing.assert_close(found.dot.frame, torch.stack([(made @ q).amax(1) for q in asked.query]))
    torch.testing.assert_close(video.rebuilt, model.frame_decoder(made, FRAMES))
    for q, v in enumerate(own.tolist()):
        words, valid = given.queries.words[q : q + 1], given.queries.valid[q : q + 1]
        places = asked.places[q]
        hidden = model.query_input(words).clone()
        hidden[0, places[places >= 0]] = model.masked_word
        best = made[v, F.cosine_similarity(asked.query[q], made[v], dim=1).argmax()]
        want = model.word_decoder(model.query_encoder(hidden, valid), valid, best[None], places[None].clamp(min=0))[0]
        torch.testing.assert_close(asked.guesses[q], want, atol=1e-5, rtol=1e-4)
    order, (frame, clip) = drawn.draws.order.tolist(), mixtures(given, drawn.draws)
    for p, pair in enumerate(((order[0], order[2]), (order[1], order[3]))):
        whole = model.read_both(*(x[p : p + 1] for x in (*frame[:2], *clip[:2])))
        mixed, looked = model.read(whole)
        shares = looked_at(looked, FRAMES, CLIPS, (frame.cut[p : p + 1], clip.cut[p : p + 1]))
        for side, v in enumerate(pair):
            torch.testing.assert_close(video.mixed[v], mixed[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(video.share[v], shares[0, :, side], atol=1e-5, rtol=1e-4)


def mixtures(given: Batch[Any], draws: Draws) -> Any:
    first, second = draws.order[:2], draws.order[2:4]
    frames = splice(given.videos.frames, given.videos.frame_valid, first, second, draws.share)
    return frames, splice(given.videos.clips, given.videos.clip_size > 0, first, second, draws.share)


def test_padding_order_and_small_batches() -> None:
    model, given = roused(ProtoPRVRStyle(SMALL)), batch()
    drawn = Drawn(model, given)
    check_padding(drawn, loss(), given)
    assert without_gradient(drawn, loss(), given) == []
    videos, queries = torch.randperm(4), torch.randperm(9)
    moved, other = Drawn(model, given), shuffled(given, videos, queries)
    moved.draws = drawn.draws._replace(words=drawn.draws.words[queries], order=videos.argsort()[drawn.draws.order])
    torch.testing.assert_close(learned(loss(), moved, other).terms, learned(loss(), drawn, given).terms)
    alone = loss(words=0.0, attention=0.0)
    check_order(model, alone, given)
    check_small_batches(model, loss(), given)


def test_terms_begin_and_can_be_left_out() -> None:
    model, given = roused(ProtoPRVRStyle(SMALL)), batch()
    made = Drawn(model, given).embed(given)
    late = loss(best_from_epoch=3)
    before, after = (late(made, given, epoch).terms for epoch in (2, 3))
    assert before["words"] == before["attention"] == 0
    assert after["words"] > 0
    assert after["attention"] > 0
    assert 1 <= float(after["prototypes_used"]) <= 4
    bare = loss(words=0.0, frames=0.0, attention=0.0, diversity=0.0)(made, given, 3).terms
    assert set(bare) == {"nce", "triplet", "prototypes_used"}
    apart = model.embed(given, Drawn(model, given).draws._replace(mixing=False))
    assert bool((apart.videos.share == -1).all())
    assert loss()(apart, given, 3).terms["attention"] == 0


def test_the_cut_step_has_the_same_gradients() -> None:
    """As bf16 and several processes need it: towers first, then all comparing from what they made."""
    model, given = roused(ProtoPRVRStyle(replace(SMALL, mixed_batches=1.0))), batch()
    gradients = []
    for precision in ("fp32", "tf32"):
        model.zero_grad()
        torch.manual_seed(1)
        make_step(model, loss(), precision=precision)(given, 0, 0)
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1])
    model.zero_grad()
    total, _ = make_step(model, loss(), precision="bf16")(given, 0, 0)
    assert bool(total.isfinite())


@torch.no_grad()
def test_a_video_is_stored_as_its_prototypes() -> None:
    """L vectors of D numbers and no more; with one of them it is a retriever with one vector a video."""
    model, given = roused(ProtoPRVRStyle(SMALL)), batch()
    stored, spans = model.encode_videos(given.videos), model.token_spans(given.videos)
    assert stored.frames.shape == (4, 4, 16)
    assert bool(stored.frame_valid.all())
    assert (stored.clips.numel(), model.clip_weight) == (0, 0.0)
    assert (spans.frames.shape, spans.clips.shape) == ((4, 4, 2), (4, 0, 2))
    start, end = spans.frames[0].unbind(1)
    assert bool((start < end).all())
    assert 0 <= float(start.min()) < float(end.max()) <= 30
    model, given = roused(ProtoPRVRStyle(replace(SMALL, prototypes=1))), batch()
    fits: RetrievalModel = model
    assert not isinstance(model, QueryAtVideo)
    made = model.embed(given)
    one = fits.encode_videos(given.videos).frames[:, 0]
    want = F.normalize(fits.encode_queries(given.queries), dim=1) @ F.normalize(one, dim=1).T
    torch.testing.assert_close(loss().see(made, given, 0).cosine.frame, want)
    assert loss()(made, given, 0).terms["diversity"] == 0


def test_sizes_are_those_described() -> None:
    """Of what is left after training; no count was published."""
    for name, want in (("tvr_i3d", 5_753_856), ("activitynet_i3d", 4_271_616)):
        recipe = load_recipe(f"prvr.methods.protoprvr_style.runs:{name}")
        model = recipe.build()
        kept = [x.numel() for part, x in model.named_parameters() if not part.startswith(TAUGHT)]
        assert sum(kept) == want


@pytest.mark.parametrize("width", [96, 384])
@torch.no_grad()
def test_prototypes_begin_apart(width: int) -> None:
    """At any width they are unlike each other and look at different places, or they would learn the same for ever."""
    torch.manual_seed(3)
    model = ProtoPRVRStyle(replace(SMALL, hidden=width, heads=4, prototypes=30)).eval()
    made, looked = model.read(model.contextual(batch().videos))
    cosine = F.normalize(made, dim=2) @ F.normalize(made, dim=2).mT
    others = cosine.masked_select(~torch.eye(30, dtype=torch.bool))
    assert 0.1 < float(others.mean()) < 0.7  # 0: nothing of the video in them; 1: one vector
    assert float((looked[:, :, None] - looked[:, None]).abs().sum(-1).mean()) / 2 > 0.05


def test_prototypes_can_leave_where_they_began() -> None:
    """A step is as long for a large number as for a small one: were they N(0, 1), 80 steps would not turn them."""
    torch.manual_seed(3)
    model, given = ProtoPRVRStyle(SMALL), batch()
    plan = load_recipe("prvr.methods.protoprvr_style.runs:world").settings
    began = model.prototypes.detach().clone()
    optimizer = bert_adam(plan, model, 9)
    drawn = Drawn(model, given)
    for _ in range(81):  # of the generated world
        optimizer.zero_grad()
        torch.autograd.backward(learned(loss(), drawn, given).total)
        optimizer.step()
    turned = F.cosine_similarity(began, model.prototypes.detach(), dim=1)
    assert float(turned.max()) < 0.9


@pytest.mark.parametrize(
    ("name", "widths", "lr", "margin", "dropout", "nce"),
    [
        ("tvr", (768, 768), 3e-4, 0.1, 0.2, 0.05),
        ("activitynet", (768, 768), 2.5e-4, 0.2, 0.31, 0.04),
        ("charades", (768, 768), 2e-4, 0.2, 0.25, 0.04),
        ("qvhighlights", (2816, 512), 2.5e-4, 0.2, 0.31, 0.04),
    ],
)
def test_recipes(name: str, widths: tuple[int, int], lr: float, margin: float, dropout: float, nce: float) -> None:
    recipe = load_recipe(f"prvr.methods.protoprvr_style.runs:{name}")
    plan = recipe.settings
    assert "our reconstruction" in recipe.title
    assert (plan.model.video_width, plan.model.text_width, plan.model.max_words) == (*widths, 77)
    assert (plan.optim.lr, plan.loss.margin, plan.loss.nce) == (lr, margin, nce)
    assert (plan.model.dropout, plan.model.input_dropout) == (dropout, dropout)
    assert (plan.model.prototypes, plan.model.layers, plan.batch_videos) == (30, 2, 128)
    assert (plan.loss.words, plan.loss.frames, plan.loss.attention, plan.loss.diversity) == (0.1, 1.0, 0.1, 1.0)
    assert (plan.train.epochs, plan.train.patience, plan.optim.weight_decay, plan.optim.warmup) == (100, 10, 0.01, 0.01)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"heads": 3}, "heads=3"),
        ({"frames": 1, "clips": 1}, "one for each mixed video"),
        ({"prototypes": 0}, "prototypes=0"),
        ({"mixed_share": (0.7, 0.3)}, "mixed_share"),
        ({"masked_words": 1.5}, "masked_words"),
    ],
)
def test_settings_that_make_no_sense(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        replace(SMALL, **change)


def test_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"15 frames, but model.frames=14"):
        ProtoPRVRStyle(SMALL).encode_videos(batch(frames=15).videos)


def test_it_learns_the_tiny_world(world: Path, tmp_path: Path) -> None:
    recipe = load_recipe("prvr.methods.protoprvr_style.runs:world").with_settings(
        ["model.hidden=32", "model.prototypes=6", "model.dropout=0", "model.input_dropout=0", "batch_videos=8"]
    )
    given = next(Splits(recipe, DataFolder(world)).train.batches(8, seed=0, epoch=0))
    model = recipe.build()
    assert isinstance(model, ProtoPRVRStyle)
    assert recipe.objective is not None
    assert recipe.optimizer is not None
    optimizer = recipe.optimizer(recipe.settings, model, 5)
    losses = []
    drawn, learn = Drawn(model, given), recipe.objective(recipe.settings)
    drawn.draws = drawn.draws._replace(words=torch.rand(len(given.queries), 32))
    for _ in range(20):
        optimizer.zero_grad()
        total = learned(learn, drawn, given, 1).total
        torch.autograd.backward(total)
        optimizer.step()
        losses.append(float(total.detach()))
    assert losses[-1] < 0.8 * losses[0]
    done = train_run(recipe.with_settings(["train.epochs=2"]), DataFolder(world), tmp_path / "run", device="cpu")
    assert done.epochs == 2
