"""Many runs: each once, wherever they are made, whoever else wants them, whatever ends one of them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from prvr.core.errors import DataError
from prvr.methods.recipe import load_recipe, own_recipes
from prvr.runs.apart import in_processes
from prvr.runs.many import Place, RunTask, claimed, here, run_all


def write(folder: Path, word: str) -> str:
    """A run that says who made it."""
    print(f"writing {word}", flush=True)
    folder.mkdir(parents=True)  # a second time it would fail
    (folder / "made").write_text(f"{os.getpid()} {word}")
    return f"wrote {word}"


def refuse(folder: Path) -> str:
    raise DataError(f"{folder}: holds nothing; fill it")


def break_down() -> str:
    raise ZeroDivisionError("one by none")


def die() -> str:
    print("the last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def task(root: Path, name: str, do: Callable[[], str]) -> RunTask:
    return RunTask(name=name, folder=root / "runs" / name, log=root / "logs" / f"{name}.log", do=do)


def writing(root: Path, name: str) -> RunTask:
    return task(root, name, partial(write, root / "runs" / name, name))


PLACES = [pytest.param(here, id="here"), pytest.param(partial(in_processes, workers=2), id="processes")]


@pytest.mark.parametrize("place", PLACES)
def test_a_run_that_fails_is_a_line_and_the_others_go_on(place: Place, tmp_path: Path) -> None:
    tasks = [writing(tmp_path, "one"), task(tmp_path, "bad", partial(refuse, tmp_path)), writing(tmp_path, "two")]
    said: list[str] = []
    failed = run_all(tasks, place, say=said.append)
    assert list(failed) == [tmp_path / "runs" / "bad"]
    (why,) = failed.values()
    assert why.startswith(f"bad: {tmp_path}: holds nothing; fill it")
    assert sorted(said) == sorted([why, "wrote one", "wrote two"])
    for name in ("one", "two"):
        process, word = (tmp_path / "runs" / name / "made").read_text().split()
        assert word == name
        assert (int(process) == os.getpid()) == (place is here)
    if place is not here:
        log = tmp_path / "logs" / "bad.log"
        assert why.endswith(f" (log: {log})")
        assert (tmp_path / "logs" / "one.log").read_text() == "writing one\n"


def test_what_breaks_or_kills_a_process_ends_its_run_alone(tmp_path: Path) -> None:
    tasks = [task(tmp_path, "dies", die), task(tmp_path, "breaks", break_down), writing(tmp_path, "one")]
    failed = run_all(tasks, partial(in_processes, workers=1), say=lambda _: None)
    logs = {name: tmp_path / "logs" / f"{name}.log" for name in ("dies", "breaks")}
    assert failed == {
        tmp_path / "runs" / "dies": f"dies: was killed by signal 9: the last words; its log is {logs['dies']}",
        tmp_path / "runs" / "breaks": f"breaks: stopped: ZeroDivisionError: one by none; its log is {logs['breaks']}",
    }
    assert "Traceback" in logs["breaks"].read_text()
    assert (tmp_path / "runs" / "one" / "made").exists()


def test_what_cannot_be_sent_is_said(tmp_path: Path) -> None:
    (why,) = run_all([task(tmp_path, "local", lambda: "")], partial(in_processes, workers=1), say=print).values()
    assert why.startswith("local: cannot be sent to another process")
    assert "at the top of its module" in why


@pytest.mark.parametrize("target", list(own_recipes()))
def test_every_recipe_can_be_sent_to_another_process(target: str) -> None:
    recipe = load_recipe(target)
    again = pickle.loads(pickle.dumps(recipe))
    assert (again.target, again.settings, again.method) == (recipe.target, recipe.settings, recipe.method)


def hold(folder: Path, held: Event, let_go: Event) -> None:
    with claimed(folder) as mine:
        assert mine
        held.set()
        let_go.wait()


@pytest.mark.parametrize("place", PLACES)
def test_a_run_that_another_process_is_at_is_waited_for(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prvr.runs.many.PAUSE_S", 0.05)
    fresh = multiprocessing.get_context("spawn")
    held, let_go = fresh.Event(), fresh.Event()
    other = fresh.Process(target=hold, args=(tmp_path / "runs" / "one", held, let_go))
    other.start()
    assert held.wait(240)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "another prvr process" in line:
            assert not (tmp_path / "runs" / "one").exists()
            let_go.set()

    assert not run_all([writing(tmp_path, "one"), writing(tmp_path, "two")], place, say=say)
    other.join()
    assert said == ["wrote two", "one: another prvr process is at it; waiting for it", "wrote one"]


def test_a_killed_process_lets_go_of_its_claim(tmp_path: Path) -> None:
    fresh = multiprocessing.get_context("spawn")
    held, let_go = fresh.Event(), fresh.Event()
    other = fresh.Process(target=hold, args=(tmp_path / "one", held, let_go))
    other.start()
    assert held.wait(240)
    with claimed(tmp_path / "one") as mine:
        assert not mine
    other.kill()
    other.join()
    with claimed(tmp_path / "one") as mine:
        assert mine


def linger(folder: Path) -> str:
    (folder / "begun").write_text(str(os.getpid()))
    time.sleep(600)
    return ""


def drive(folder: Path) -> None:
    run_all([task(folder, "long", partial(linger, folder))], partial(in_processes, workers=1), say=print)


def test_workers_end_with_the_driver_that_is_killed(tmp_path: Path) -> None:
    other = multiprocessing.get_context("spawn").Process(target=drive, args=(tmp_path,))
    other.start()
    until = time.monotonic() + 120
    while not (tmp_path / "begun").exists() or not (tmp_path / "begun").read_text():
        assert time.monotonic() < until, "the run did not begin"
        time.sleep(0.05)
    other.kill()
    other.join()
    while True:  # its claim is free once its process is gone
        with claimed(tmp_path / "runs" / "long") as mine:
            if mine:
                return
        assert time.monotonic() < until, "the worker outlived its driver"
        time.sleep(0.05)
