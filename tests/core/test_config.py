from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from prvr.core.config import assignments, fingerprint, from_dict, override, to_dict
from prvr.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Optim:
    lr: float = 1e-3
    warmup: float | None = None
    steps: tuple[int, ...] = (80, 52)


@dataclass(frozen=True, kw_only=True)
class Run:
    name: str
    optim: Optim = field(default_factory=Optim)
    clips: Literal["merged", "uniform"] = "merged"
    fast: bool = False
    draws: Literal[1, 2] = 1

    def __post_init__(self) -> None:
        if self.optim.lr <= 0:
            raise ConfigError("optim.lr must be positive")


def test_there_and_back() -> None:
    run = Run(name="a", optim=Optim(lr=0.5, steps=(3, 2, 1)), clips="uniform", fast=True)
    assert from_dict(Run, to_dict(run)) == run


def test_override_reaches_every_type() -> None:
    texts = [
        "optim.lr=3e-4",
        "optim.warmup=0.1",
        "optim.steps=9,8,7",
        "clips=uniform",
        "fast=true",
        "name=b",
        "draws=2",
    ]
    run = override(Run(name="a"), texts)
    assert run == Run(name="b", optim=Optim(lr=3e-4, warmup=0.1, steps=(9, 8, 7)), clips="uniform", fast=True, draws=2)
    assert override(Run(name="a"), list(assignments(run))) == run
    assert override(run, ["optim.warmup=none"]).optim.warmup is None


def test_settings_that_only_fit_together_can_be_set_together() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Pair:
        high: int = 2
        low: int = 1

        def __post_init__(self) -> None:
            if self.low >= self.high:
                raise ConfigError("low must be below high")

    assert override(Pair(), ["low=5", "high=9"]) == Pair(low=5, high=9)
    with pytest.raises(ConfigError, match="low must be below high"):
        override(Pair(), ["low=5"])
    with pytest.raises(ConfigError, match="nothing below 'low'"):
        override(Pair(), ["low=5", "low.x=1"])


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("optim.lrr=1", "did you mean 'lr'"),
        ("optin.lr=1", "did you mean 'optim'"),
        ("zzz=1", "there are name, optim, clips, fast, draws"),
        ("optim.lr=fast", "optim.lr=fast: expected a value of type float"),
        ("fast=1", "expected true or false"),
        ("clips=both", "choose one of merged, uniform"),
        ("draws=3", "choose one of 1, 2"),
        ("optim.lr", "expected NAME=VALUE"),
        ("optim.lr.x=1", "nothing below 'optim.lr'"),
        ("optim.lr=-1", "must be positive"),
    ],
)
def test_a_wrong_override_says_what_would_be_right(assignment: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("(", r"\(")):
        override(Run(name="a"), [assignment])


def test_from_dict_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ConfigError, match=r"optim\.lt.*did you mean 'lr'"):
        from_dict(Run, {"name": "a", "optim": {"lt": 1}})
    with pytest.raises(ConfigError, match="name"):
        from_dict(Run, {})


def test_fingerprint_follows_the_values_and_nothing_else() -> None:
    assert fingerprint(Run(name="a")) == fingerprint(to_dict(Run(name="a")))
    assert fingerprint(Run(name="a")) != fingerprint(Run(name="a", optim=Optim(lr=2e-3)))
