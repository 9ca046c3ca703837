from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prvr.core.errors import CheckpointError, ConfigError, DataError
from prvr.core.files import only_writer
from prvr.core.method import TrainConfig
from prvr.core.types import Batch, Loss, Made, VideoTokens
from prvr.core.weights import load_weights
from prvr.parts.videos import ClipVideos
from prvr.training.checkpoint import load_state
from prvr.training.loop import TrainProgress, train
from prvr.training.run_folder import Standing
from prvr.training.trackers import check_trackers
from tests.training.make import TwoLines, batches, objective, run, scripted, validate


class Killed(BaseException):
    """What nobody catches."""


def lines(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without the clock."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.endswith("_s")} for row in rows]


def same_bits(one: Path, other: Path) -> None:
    for name in ("model.safetensors", "last.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert lines(one) == lines(other)


def test_going_on_equals_never_having_stopped(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", epochs=5)
    for k in (1, 2, 4):
        assert run(tmp_path / f"{k}", epochs=k).epochs == k
        result = run(tmp_path / f"{k}", epochs=5)
        assert result.new_epochs == 5 - k
        assert (result.best, result.best_epoch, result.epochs) == (whole.best, whole.best_epoch, 5)
        same_bits(tmp_path / "whole", tmp_path / f"{k}")


def test_running_means_are_judged_and_kept_and_weights_learn_on(tmp_path: Path) -> None:
    """Also where the run was interrupted: the state has both."""
    judged: list[Tensor] = []

    def check(model: nn.Module) -> dict[str, float]:
        judged.append(torch.cat([x.detach().flatten() for x in model.parameters()]))
        return {"SumR": float(len(judged))}

    whole = run(tmp_path / "whole", epochs=3, check=check, ema=0.9)
    assert whole.best_epoch == 2
    kept = load_weights(tmp_path / "whole" / "model.safetensors")[0]
    learned = load_state(tmp_path / "whole" / "last.safetensors")
    assert torch.equal(judged[-1], torch.cat([kept[name].flatten() for name, _ in TwoLines().named_parameters()]))
    assert torch.equal(kept["query.weight"], learned.moments["query.weight"]["mean"])
    assert not torch.equal(kept["query.weight"], learned.weights["query.weight"])
    run(tmp_path / "twice", epochs=1, check=check, ema=0.9)
    run(tmp_path / "twice", epochs=3, check=check, ema=0.9)
    again = load_weights(tmp_path / "twice" / "model.safetensors")[0]
    assert all(torch.equal(again[name], value) for name, value in kept.items())


@pytest.mark.parametrize("place", ["step", "validation", "log", "state", "weights"])
def test_killed_anywhere_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Validation rises, so that each epoch writes all files; epoch 2 is hit at one place after another."""
    rising: list[float] = [1, 2, 3, 4]
    run(tmp_path / "whole", check=scripted(rising))
    folder = tmp_path / "hit"
    run(folder, epochs=2, check=scripted(rising[:2]))

    def kill(*_: object, **__: object) -> None:
        raise Killed

    def killing_steps(epoch: int) -> Iterator[Batch[ClipVideos]]:
        yield next(batches(epoch))
        raise Killed

    with monkeypatch.context() as patch:
        if place in ("state", "weights"):
            patch.setattr(f"prvr.training.loop.save_{place}", kill)
        if place == "log":
            whole = (folder / "metrics.jsonl").read_text()
            (folder / "metrics.jsonl").write_text(whole + '{"epoch": 2, "lo')
        steps = killing_steps if place in ("step", "log") else batches
        with pytest.raises(Killed):
            run(folder, check=kill if place == "validation" else scripted(rising[2:]), steps=steps)  # type: ignore[arg-type]
    run(folder, check=scripted(rising[3:] if place == "weights" else rising[2:]))
    same_bits(tmp_path / "whole", folder)


def test_weights_that_a_kill_left_behind_are_mended_at_the_end_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole", epochs=2, check=scripted([1, 2]))
    run(tmp_path / "hit", epochs=1, check=scripted([1]))
    old = (tmp_path / "hit" / "model.safetensors").read_bytes()
    run(tmp_path / "hit", epochs=2, check=scripted([2]))
    (tmp_path / "hit" / "model.safetensors").write_bytes(old)
    assert run(tmp_path / "hit", epochs=2).new_epochs == 0
    same_bits(tmp_path / "whole", tmp_path / "hit")
    run(tmp_path / "gone", epochs=3, check=scripted([1, 3, 2]))
    (tmp_path / "gone" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"weights of the best epoch \(1\) are gone"):
        run(tmp_path / "gone", epochs=3)


def test_ctrl_c_comes_through_and_the_last_epoch_stays(tmp_path: Path) -> None:
    def press(now: TrainProgress) -> None:
        if (now.epoch, now.step) == (2, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", on_progress=press)
    assert load_state(tmp_path / "run" / "last.safetensors").notes["standing"]["epochs"] == 2
    run(tmp_path / "run")
    run(tmp_path / "whole")
    same_bits(tmp_path / "whole", tmp_path / "run")


def test_the_best_weights_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    result = run(tmp_path / "run", epochs=4, check=scripted([5, 7, 7, 6]))
    run(tmp_path / "two", epochs=2, check=scripted([5, 7]))
    assert (result.best, result.best_epoch, result.epochs, result.metrics) == (7, 1, 4, {"SumR": 7})
    weights, metadata = load_weights(tmp_path / "run" / "model.safetensors")
    want = load_state(tmp_path / "two" / "last.safetensors").weights
    assert all(torch.equal(weights[name], want[name]) for name in want)
    assert metadata == {"recipe": "tests:two_lines", "epoch": "1", "SumR": "7.0"}


def test_early_stopping_by_hand(tmp_path: Path) -> None:
    """Patience 2: the third epoch in a row without improvement is the last; a tie is no improvement."""
    result = run(tmp_path / "a", epochs=20, patience=2, check=scripted([1, 3, 3, 2, 3]))
    assert (result.best_epoch, result.epochs) == (1, 5)
    result = run(tmp_path / "b", epochs=20, patience=2, check=scripted([1, 0, 0, 2, 0, 0, 0]))
    assert (result.best_epoch, result.epochs) == (3, 7)
    result = run(tmp_path / "c", epochs=20, patience=0, check=scripted([1, 2, 1]))
    assert (result.best_epoch, result.epochs) == (1, 3)
    published = Standing(epochs=50, best=1.0, best_epoch=39)  # epochs 40 to 49: ten without improvement are borne
    assert not published.finished(epochs=100, patience=10)
    assert published.after(1.0, {}).finished(epochs=100, patience=10)


def test_a_complete_run_is_not_touched(tmp_path: Path) -> None:
    first = run(tmp_path, epochs=2)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    def never(*_: object) -> dict[str, float]:
        raise AssertionError("trained again")

    again = run(tmp_path, epochs=2, check=never)
    assert again.new_epochs == 0
    assert (again.best, again.best_epoch, again.metrics["SumR"]) == (first.best, first.best_epoch, first.best)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_metrics_say_what_happened(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []

    def watched(made: Made[Tensor, VideoTokens], batch: Batch[ClipVideos], epoch: int) -> Loss:
        loss = objective(made, batch, epoch)
        seen.append((loss.total.item(), loss.terms["nce"].item()))
        return loss

    run(tmp_path, epochs=2, learn=watched, check=scripted([2, 1]))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1]
    assert [row["best"] for row in rows] == [True, False]
    assert [row["validation"] for row in rows] == [{"SumR": 2}, {"SumR": 1}]
    for e, row in enumerate(rows):
        assert row["steps"] == 3
        assert row["loss"] == pytest.approx(sum(loss for loss, _ in seen[3 * e : 3 * e + 3]) / 3, rel=1e-6)
        assert row["terms"]["nce"] == pytest.approx(sum(nce for _, nce in seen[3 * e : 3 * e + 3]) / 3, rel=1e-6)
        assert row["terms"].keys() == {"nce", "noise"}
        assert min(row["train_s"], row["validation_s"]) >= 0
    assert [row["lr"] for row in rows] == pytest.approx([0.05 * 2 / 3, 0.05 * 25 / 27])  # steps 2 and 5 of 30


def test_numbers_json_does_not_know_are_null(tmp_path: Path) -> None:
    run(tmp_path, epochs=1, check=validate)
    assert lines(tmp_path)[0]["validation"]["R@1"] is None


TOLD = {"train/loss", "train/lr", "train/nce", "train/noise", "validation/SumR"}


def told_twice(folder: Path, tracker: str) -> None:
    """A run of one epoch that goes on for two more."""
    run(folder, epochs=1, check=scripted([1.0]), trackers=[tracker])
    run(folder, epochs=3, check=scripted([2.0, 3.0]), trackers=[tracker])


def test_tensorboard_has_the_same_numbers_once(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    told_twice(tmp_path, "tensorboard")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == TOLD
    assert [(event.step, event.value) for event in events.Scalars("validation/SumR")] == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.filterwarnings("ignore")  # of its own dependencies
def test_mlflow_has_the_same_numbers_once(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    told_twice(tmp_path, "mlflow")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("prvr").experiment_id])
    assert set(found.data.metrics) == TOLD
    history = client.get_metric_history(found.info.run_id, "validation/SumR")
    assert [(one.step, one.value) for one in history] == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_below_the_run_and_stays_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    told_twice(tmp_path, "wandb")
    assert len(list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))) == 2  # one a start; `wandb sync` joins them


def test_nobody_is_told_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch.utils.tensorboard", "wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, module, None)
    run(tmp_path, epochs=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock", "last.safetensors", "metrics.csv", "metrics.jsonl", "model.safetensors"]  # fmt: skip
    for name, how in (("tensorboard", r"prvr\[tensorboard\]"), ("wandb", "wandb"), ("mlflow", "mlflow")):
        with pytest.raises(ConfigError, match=rf"--log {name}: is not installed .*pip install '?{how}'?`, or leave it"):
            check_trackers([name])
    with pytest.raises(ConfigError, match="--log comet: choose from tensorboard, wandb, mlflow"):
        check_trackers(["comet"])


def test_the_table_says_what_the_lines_say(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    run(tmp_path, epochs=3)
    with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    said = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert [float(row["loss"]) for row in rows] == [line["loss"] for line in said]
    assert [float(row["validation/SumR"]) for row in rows] == [line["validation"]["SumR"] for line in said]
    (term, *_) = said[0]["terms"]
    assert [float(row[f"train/{term}"]) for row in rows] == [line["terms"][term] for line in said]


def test_progress_counts_steps_and_epochs(tmp_path: Path) -> None:
    seen: list[TrainProgress] = []
    run(tmp_path, epochs=2, on_progress=seen.append, check=scripted([4, 3]))
    assert [(now.epoch, now.step) for now in seen] == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]
    assert [now.steps for now in seen[2:4]] == [None, 3]
    assert (seen[0].best, seen[0].loss) == (None, None)
    assert (seen[-1].best, seen[-1].best_epoch, seen[-1].metrics, seen[-1].epochs) == (4, 0, {"SumR": 3}, 2)


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    settings = {"recipe": "a:b", "settings": '{"optim": {"lr": 0.1}, "model": {"width": 8}}'}
    run(tmp_path, epochs=1, metadata=settings)
    changed = {**settings, "settings": settings["settings"].replace("0.1", "0.2")}
    with pytest.raises(
        CheckpointError, match=r"other settings \(metadata\.settings\.optim\.lr is 0\.1 there and 0\.2 he"
    ):
        run(tmp_path, epochs=2, metadata=changed)
    with pytest.raises(CheckpointError, match=r"metadata\.recipe is a:b there and nothing here"):
        run(tmp_path, epochs=2, metadata={})
    with pytest.raises(CheckpointError, match=r"train\.seed is 0 there and 1 here"):
        run(tmp_path, epochs=2, metadata=settings, seed=1)
    assert run(tmp_path, epochs=2, metadata=settings).new_epochs == 1


def test_seeds_differ_and_repeat(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path / name, epochs=2, seed=seed)
    same_bits(tmp_path / "a", tmp_path / "b")
    assert [row["loss"] for row in lines(tmp_path / "a")] != [row["loss"] for row in lines(tmp_path / "c")]


@pytest.mark.parametrize(("first", "kept"), [(0, "nothing is saved yet"), (2, "epoch 1 stays in")])
def test_a_loss_that_is_no_number_names_where(tmp_path: Path, first: int, kept: str) -> None:
    count = iter(range(100))

    def breaks(made: Made[Tensor, VideoTokens], batch: Batch[ClipVideos], epoch: int) -> Loss:
        loss = objective(made, batch, epoch)
        if next(count) == 3 * first + 1:
            noise = loss.terms["noise"] * float("nan")
            loss = Loss(loss.total + noise, {**loss.terms, "noise": noise})
        return loss

    with pytest.raises(CheckpointError, match=rf"epoch {first}, step 1: loss term 'noise' is nan; {kept}") as caught:
        run(tmp_path, learn=breaks)
    assert "\n" not in str(caught.value)
    if first:
        state = load_state(tmp_path / "last.safetensors")
        assert state.notes["standing"]["epochs"] == first
        assert all(tensor.isfinite().all() for tensor in state.weights.values())


def test_weights_or_validation_that_are_no_numbers(tmp_path: Path) -> None:
    class Breaks(TwoLines):
        def embed(self, batch: Batch[ClipVideos]) -> Made[Tensor, VideoTokens]:
            made = super().embed(batch)
            made.queries.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
            return made

    # Only the last step of an epoch hides it: in all others the next loss shows it.
    with pytest.raises(CheckpointError, match="epoch 0, step 0: the weights are no longer finite"):
        run(tmp_path / "a", model=Breaks(), steps=lambda _: iter([*batches(0)][:1]))
    with pytest.raises(CheckpointError, match="epoch 1: validation SumR is nan; epoch 0 stays"):
        run(tmp_path / "b", check=scripted([1.0, float("nan")]))


def test_other_wrong_turns_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="train.primary=SumR: validation gives R@1; choose one"):
        run(tmp_path / "a", check=lambda _: {"R@1": 1.0})
    with pytest.raises(DataError, match="epoch 0 has no batches; the training split is empty"):
        run(tmp_path / "b", steps=lambda _: iter([]))
    run(tmp_path / "c", epochs=1)
    with (
        only_writer(tmp_path / "c", CheckpointError),
        pytest.raises(CheckpointError, match="c: another prvr process is writing here"),
    ):
        run(tmp_path / "c", epochs=2)
    (tmp_path / "c" / "last.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"c: holds model.safetensors but no last.safetensors"):
        run(tmp_path / "c")
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="file: cannot be written .*; choose another folder"):
        run(tmp_path / "file")


def test_a_full_disk_is_one_line_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "run", epochs=1)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(CheckpointError, match=r"last.safetensors: cannot be written \(No space left on device\)"):
            run(tmp_path / "run")
    run(tmp_path / "run")
    run(tmp_path / "whole")
    same_bits(tmp_path / "whole", tmp_path / "run")


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / ".last.safetensors.123.tmp").write_bytes(b"half")
    run(tmp_path, epochs=1)
    assert not list(tmp_path.glob(".*.tmp"))


def test_any_torch_optimiser_will_do(tmp_path: Path) -> None:
    for name, ends in (("whole", (3,)), ("parts", (1, 3))):
        for epochs in ends:
            torch.manual_seed(3)
            model = TwoLines()
            result = train(
                model,
                learn=objective,
                batches=batches,
                optimizer=torch.optim.AdamW(model.parameters(), lr=1e-2),
                validate=validate,
                folder=tmp_path / name,
                config=TrainConfig(epochs=epochs),
                metadata={},
            )
        assert result.epochs == 3
    same_bits(tmp_path / "whole", tmp_path / "parts")


def test_settings_are_judged_at_birth() -> None:
    for wrong in ({"epochs": 0}, {"patience": -1}, {"primary": ""}):
        with pytest.raises(ConfigError, match=f"train.{next(iter(wrong))}"):
            TrainConfig(**wrong)


def test_gradients_are_off_and_eval_is_on_while_validating(tmp_path: Path) -> None:
    def check(model: nn.Module) -> dict[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        return {"SumR": 1.0}

    run(tmp_path, epochs=2, check=check)
