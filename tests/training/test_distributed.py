"""Two processes over gloo on the loopback against one, see ranks.py for what they do."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from prvr.core.errors import ConfigError
from prvr.core.weights import load_weights
from prvr.training.checkpoint import load_state
from prvr.training.distributed import ALONE, Ranks, deal, is_first, joined, share
from prvr.training.step import make_step
from tests.fresh import Fresh
from tests.training.make import objective
from tests.training.ranks import SIZES, gradients, make_batch, nested, run


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


RANK = """
import sys, warnings
from pathlib import Path
from tests.training.ranks import main
warnings.simplefilter("error")
main(Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that two ranks did, in the environment that torchrun gives; the second is killed at the end."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    environments = [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    with ExitStack() as held:
        ranks = [held.enter_context(Fresh(RANK, folder, environment=one)) for one in environments]
        assert [(rank.wait(), rank.said()) for rank in ranks] == [(0, ""), (-9, "")]  # nobody says a word
    return folder


@pytest.mark.parametrize("size", SIZES)
def test_loss_and_gradients_are_those_of_one_process(out: Path, size: int) -> None:
    """Two videos and three, two and two, none and one."""
    want = gradients(ALONE, size)
    assert sum(1 for gradient in want.values() if gradient.norm() > 1e-6) > 60
    for rank in range(2):
        found, _ = load_weights(out / f"rank{rank}" / f"gradients{size}")
        torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_records_within_records_go_over_two_ranks_as_on_one(out: Path, size: int) -> None:
    """Masks, whole numbers, what is not there: every leaf in the order of the batch."""
    want = nested(ALONE, size)
    assert sum(name.startswith("made") for name in want) == 15
    assert {x.dtype for x in want.values()} == {torch.float64, torch.bool, torch.int64}
    assert all(want[name].norm() > 1e-6 for name in ("query.weight", "query.bias", "video.weight", "video.bias"))
    for rank in range(2):
        found, _ = load_weights(out / f"rank{rank}" / f"nested{size}")
        torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-12)


def test_a_run_is_that_of_one_process(out: Path, tmp_path: Path) -> None:
    """Three epochs of BertAdam, with random negatives and with hard ones: the same losses, choices and weights."""
    run(tmp_path / "whole", epochs=3)
    alone, both = (folder / "whole" for folder in (tmp_path, out))
    first, second = (load_state(folder / "last.safetensors") for folder in (alone, both))
    torch.testing.assert_close(first.weights, second.weights, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(first.moments, second.moments, rtol=1e-7, atol=1e-10)
    for ours, theirs in zip(
        *((folder / "metrics.jsonl").read_text().splitlines() for folder in (both, alone)), strict=True
    ):
        row, want = json.loads(ours), json.loads(theirs)
        assert row["terms"] == pytest.approx(want["terms"], rel=1e-6)
        assert row["validation"] == pytest.approx(want["validation"], rel=1e-9)
        assert [row[name] for name in ("epoch", "steps", "best")] == [want[name] for name in ("epoch", "steps", "best")]
        assert row["loss"] == pytest.approx(want["loss"], rel=1e-6)


def test_a_run_goes_on_with_the_bits_of_one_that_was_not_interrupted(out: Path) -> None:
    whole, parts = (load_weights(out / name / "model.safetensors") for name in ("whole", "parts"))
    torch.testing.assert_close(whole[0], parts[0], rtol=0, atol=0)
    assert whole[1] == parts[1]


def test_one_process_goes_on_with_what_two_began(out: Path, tmp_path: Path) -> None:
    run(tmp_path / "whole")
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in ("last.safetensors", "model.safetensors", "metrics.jsonl"):
        (begun / name).write_bytes((out / "killed" / name).read_bytes())
    assert run(begun).new_epochs == 1
    weights = [load_state(tmp_path / name / "last.safetensors").weights for name in ("whole", "begun")]
    torch.testing.assert_close(*weights, rtol=1e-9, atol=1e-10)


def test_with_dropout_all_ranks_have_the_same_weights_and_result(out: Path) -> None:
    (first, result), (second, same) = (load_weights(out / f"rank{rank}" / "dropout") for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert result == same


def test_dropout_differs_between_ranks_and_steps_and_what_the_objective_draws_does_not(out: Path) -> None:
    first, second = (load_weights(out / f"rank{rank}" / "masks")[0]["query"] for rank in range(2))  # (steps, Q, D)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert not torch.equal(first[0, 0], first[0, 1])
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
    draws = [load_weights(out / f"rank{rank}" / "draws")[0]["drawn"] for rank in range(2)]
    assert torch.equal(draws[0], draws[1])
    assert len(set(draws[0].tolist())) == len(draws[0]) == 6


def test_a_mistake_stops_all_with_a_message(out: Path) -> None:
    first, second = ((out / f"rank{rank}" / "mistakes").read_text().splitlines() for rank in range(2))
    assert "epoch 1, step 0: the loss is nan; epoch 0 stays" in first[0]
    assert first[0] == second[0]
    assert first[1].startswith("CheckpointError: ")
    assert second[1] == first[1].replace(": ", ": rank 1 stops because rank 0 did: ", 1)


def test_when_a_rank_is_killed_the_other_stops_and_says_so(out: Path) -> None:
    message = (out / "killed" / "message").read_text()
    assert message.startswith("rank 0 of 2: the other ranks no longer answer (")
    assert message.endswith("Finished epochs are on disk: run the same command again")
    assert load_state(out / "killed" / "last.safetensors").notes["standing"]["epochs"] == 1


@pytest.mark.parametrize(("videos", "ranks"), [(5, 2), (1, 2), (7, 3), (2, 4), (6, 1)])
def test_every_row_is_dealt_once_and_found_again(videos: int, ranks: int) -> None:
    batch = make_batch(videos, 0)
    deals = deal(batch, ranks)
    assert max(deals[0].counts) - min(deals[0].counts) <= 1
    assert torch.equal(deals[0].order, torch.arange(videos))
    for rows, joint in zip(deals, (batch.videos.frames, batch.queries.words), strict=True):
        held = [rows.own(rank, joint)[: rows.counts[rank]] for rank in range(ranks)]
        assert torch.equal(rows.restore(torch.cat(held)), joint)
    for rank in range(ranks):
        mine = share(batch, *deals, rank)
        assert len(mine.videos) == max(1, deals[0].counts[rank])
        if deals[1].counts[rank]:
            theirs = deals[0].own(rank, torch.arange(videos))[mine.video_of_query]
            assert torch.equal(theirs, deals[1].own(rank, batch.video_of_query))
        else:
            assert not deals[1].own_gradient(rank, batch.queries.words).any()


def test_an_environment_that_makes_no_sense_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with joined("cpu") as ranks:
        assert ranks == ALONE
    assert is_first()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="RANK=nothing: expected a number beside WORLD_SIZE=2"), joined("cpu"):
        pass
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", str(torch.cuda.device_count()))
    assert not is_first()
    with pytest.raises(ConfigError, match="--device mps: only one process can train there"), joined("mps"):
        pass
    with pytest.raises(ConfigError, match="has no GPU of its own"), joined("cuda"):
        pass


def test_a_model_that_does_not_embed_is_refused() -> None:
    with pytest.raises(ConfigError, match="Linear: has no `embed`, so it cannot be trained"):
        make_step(torch.nn.Linear(2, 2), objective, ranks=Ranks(0, 2))
