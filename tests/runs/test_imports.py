"""Authors' checkpoints of every system: what is read, what is refused, and that a refused file never runs."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from prvr.cli import main
from prvr.core.config import to_dict
from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.types import FeatureSpec
from prvr.data.folder import DataFolder
from prvr.methods.msc import runs as msc
from prvr.methods.msc.loss import LossConfig, MSCSettings
from prvr.methods.msc.official import OFFICIAL
from prvr.methods.msc.prepare import PrepareConfig
from prvr.methods.recipe import Recipe, load_recipe
from prvr.ranker.ranker import open_run
from prvr.runs.imports import import_official, import_run
from tests.methods.make import SMALL, network
from tests.methods.names import named
from tests.reproduce.make import WIDTHS, qvhighlights

OTHER = replace(SMALL, video_width=1, text_width=1, hidden=2, max_words=1, frames=1, clips=1)
BASE = msc.recipe(msc.world, MSCSettings(model=OTHER, prepare=PrepareConfig(), loss=LossConfig()))
SYSTEMS = ("mssl:tvr", "bgmnet:tvr", "dldkd:tvr", "dldkd:tvr_plus", "gmmformer:tvr", "gmmformer_v2:tvr", "amdnet:tvr",
           "curvspec:tvr", "msc:tvr")  # fmt: skip
WIDE = ["model.video_width=10", "model.text_width=6", "model.hidden=16", "model.heads=2"]


def theirs() -> dict[str, Tensor]:
    return {name: value.clone() for name, value in OFFICIAL.write(network().state_dict()).items()}


def saved(content: Any, folder: Path) -> Path:
    path = folder / "official.ckpt"
    torch.save(content, path)
    return path


def system(name: str) -> Recipe:
    return load_recipe(named(name))


def small(name: str) -> tuple[Recipe, dict[str, Tensor], dict[str, Tensor]]:
    """A recipe with a small network, its weights, and the same as the authors write them."""
    recipe = system(name).with_settings(WIDE)
    state = recipe.build().state_dict()
    assert recipe.official is not None
    return recipe, state, {key: value.clone() for key, value in recipe.official.write(state).items()}


def data_of(video: int = 10, text: int = 6, **options: Any) -> DataFolder:
    """Of a folder, all that an import looks at."""
    spec = FeatureSpec(name="a pack", revision="1", video_width=video, text_width=text, **options)
    return cast(DataFolder, SimpleNamespace(spec=spec, reported="test"))


@pytest.fixture
def authors() -> Iterator[tuple[type, type]]:
    """The classes of which authors' files hold instances: settings, and a schedule; gone when the file is read."""

    def init(self: Any, **values: Any) -> None:
        for name, value in values.items():
            self[name] = value
            setattr(self, name, value)

    made = type("EasyDict", (dict,), {"__module__": "easydict", "__init__": init})
    schedule = type("WarmupLinearSchedule", (), {"__module__": "Opts.optimization"})
    names = {"easydict": made, "Opts": None, "Opts.optimization": schedule}
    for name, kind in names.items():
        sys.modules[name] = ModuleType(name)
        if kind:
            setattr(sys.modules[name], kind.__name__, kind)
    yield made, schedule
    for name in names:
        sys.modules.pop(name, None)


def forgotten() -> None:
    """Who reads a file has not installed what its authors had."""
    for name in ("easydict", "Opts", "Opts.optimization"):
        sys.modules.pop(name)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("layout", ["model_cfg", "config"])
def test_every_system_in_the_layout_of_its_authors(
    name: str, layout: str, authors: tuple[type, type], tmp_path: Path
) -> None:
    """MS-SL, DL-DKD and BGM-Net write their settings as an EasyDict, the others their optimiser with its schedule."""
    recipe, state, official = small(name)
    settings, schedule = authors[0](n_heads=2, hidden_size=16), authors[1]()
    schedule.t_total = 300.0
    if name.startswith("bgmnet"):
        settings["use_matcher"] = True
    plain = dict(settings)
    content: dict[str, Any] = {
        "model_cfg": {"model": official, "model_cfg": settings, "epoch": 7},
        "config": {
            "config": plain,
            "epoch": 7,
            "model_val": [1.0, 2.0, 3.0, 4.0, 10.0],
            "state_dict": official,
            "optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"schedule": schedule, "params": [0]}]},
        },
    }[layout]
    path = saved(content, tmp_path)
    forgotten()
    other = system(name).with_settings(["model.heads=2"])
    trained = import_run(path, other, data_of(), tmp_path / "run")
    settings = replace(other.settings, model=recipe.settings.model)
    assert trained.settings == json.loads(json.dumps(to_dict(settings)))
    found = cast(torch.nn.Module, trained.model).state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)
    assert open_run(tmp_path / "run").selected_on == "test"
    assert trained.width == other.method.width(settings.model, trained.features)


@pytest.mark.parametrize("name", SYSTEMS)
def test_another_systems_checkpoint_is_refused_by_their_names(name: str, tmp_path: Path) -> None:
    """MS-SL and BGM-Net have the same tensors; their settings tell them apart, see below."""
    recipe, _, official = small(name)
    for other in SYSTEMS:
        if {name, other} <= {"mssl:tvr", "bgmnet:tvr"}:
            continue
        path = saved({"model": small(other)[2]}, tmp_path)
        if other == name:
            import_official(path, recipe)
            continue
        assert recipe.official is not None
        says = rf"is not that of a released {recipe.official.system.replace('+', '.')}: it (lacks '|has unknown ')"
        with pytest.raises(CheckpointError, match=rf"{says}|holds no weights of {recipe.official.system[:6]}") as error:
            import_official(path, recipe)
        assert "choose the recipe of the system that it is of" in str(error.value)
    first, *_ = official
    with pytest.raises(CheckpointError, match=rf"lacks '{first}'; bring a checkpoint"):
        import_official(saved({key: x for key, x in official.items() if key != first}, tmp_path), recipe)
    last = next(key for key in official if key.endswith("query.bias"))
    wrong = official | {last: torch.zeros(5)}
    with pytest.raises(CheckpointError, match=rf"'{last}' is \(5,\), not \(16,\)"):
        import_official(saved(wrong, tmp_path), recipe)


def test_clips_of_another_kind_are_told_by_the_settings(tmp_path: Path) -> None:
    said = {"n_heads": 2, "map_size": 32}
    mssl, _, official = small("mssl:tvr")
    bgmnet = small("bgmnet:tvr")[0]
    plain = saved({"model": official, "model_cfg": said}, tmp_path)
    import_official(plain, mssl)
    with pytest.raises(CheckpointError, match="settings have no use_matcher, so it is not of BGM-Net"):
        import_official(plain, bgmnet)
    matched = saved({"model": official, "model_cfg": said | {"use_matcher": True}}, tmp_path)
    import_official(matched, bgmnet)
    with pytest.raises(CheckpointError, match="settings have use_matcher, so it is not of MS-SL"):
        import_official(matched, mssl)
    finer = saved({"model": official, "model_cfg": said | {"use_matcher": True, "map_size": 48}}, tmp_path)
    with pytest.raises(CheckpointError, match=r"map_size=48, .*add `--set model.clips=48 --set prepare.clips=48`"):
        import_official(finer, bgmnet)
    import_official(finer, bgmnet.with_settings(["model.clips=48", "prepare.clips=48"]))


def test_features_of_other_widths_and_systems_without_checkpoints(tmp_path: Path) -> None:
    _, _, official = small("mssl:tvr")
    path, recipe = saved(official, tmp_path), system("mssl:tvr").with_settings(["model.heads=2"])
    with pytest.raises(CheckpointError, match=r"reads frames 10 and words 6 wide, but those of a pack are 768 and 6"):
        import_run(path, recipe, data_of(video=768), tmp_path / "run")
    import_run(path, recipe, data_of(), tmp_path / "run")
    with pytest.raises(CheckpointError, match="holds a run already"):
        import_run(path, recipe, data_of(), tmp_path / "run")
    for name in ("arl_style:tvr", "zero_shot:max_over_frames"):
        with pytest.raises(ConfigError, match=r"no checkpoint of the authors of .* is known"):
            import_run(path, system(name), data_of(), tmp_path / "none")
    amdnet, _, official = small("amdnet:tvr")
    with pytest.raises(ConfigError, match="no sentence vector"):
        import_run(saved(official, tmp_path), amdnet, data_of(sentence_vector=False), tmp_path / "none")


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From their file to recalls, and the wrong recipe is a line that says what to choose."""
    pack = qvhighlights(tmp_path)
    wide = [f"model.{name}={value}" for name, value in zip(("video_width", "text_width"), WIDTHS, strict=True)]
    recipe = system("mssl:qvhighlights").with_settings([*WIDE, *wide])
    assert recipe.official is not None
    official = recipe.official.write(recipe.build().state_dict())
    path = saved({"model": official, "model_cfg": {"n_heads": 2}, "epoch": 0}, tmp_path)
    words = ["import-checkpoint", str(path), "--data", str(pack), "--out", str(tmp_path / "run")]
    assert main(words) == 1
    assert "is not that of a released MSC: it lacks " in capsys.readouterr().err
    words += ["--recipe", "prvr.methods.mssl.runs:qvhighlights"]
    assert main(words) == 1
    assert "add `--set model.heads=2`" in capsys.readouterr().err
    assert main([*words, "--set", "model.heads=2"]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(pack)]) == 0
    assert "MS-SL" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {
            "epoch": 7,
            "best": 234.6,
            "state_dict": state,
            "optimizer": {"state": {0: {"m": torch.ones(2)}}},
        },
        lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {name: value.half() for name, value in state.items()},
    ],
)
def test_the_state_dict_is_found_wherever_it_lies(wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    settings, weights = import_official(saved(wrap(theirs()), tmp_path), BASE)
    assert settings == replace(BASE.settings, model=SMALL)
    for name, value in network().state_dict().items():
        assert weights[name].dtype == torch.float32
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-3)


class Mischief:
    """A pickle that writes a file when it is opened the usual way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"echo opened > '{self.path}'",)


@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_would_run_a_program_is_refused_and_does_not_run(old: bool, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = tmp_path / "official.ckpt"
    content = {"state_dict": theirs(), "config": Mischief(trace)}
    if old:
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"official.ckpt: holds more than tensors .*not opened"):
        import_official(path, BASE)
    assert not trace.exists()
    torch.load(saved({"config": Mischief(trace)}, tmp_path), weights_only=False)  # it is no idle threat
    assert trace.exists()


def test_the_classes_that_are_let_pass_run_nothing_of_their_own(authors: tuple[type, type], tmp_path: Path) -> None:
    """A class of the right name whose file would run a program: its code is never looked for."""
    trace = tmp_path / "trace"

    def reduce(self: Any) -> tuple[Any, ...]:
        return type(self), (), {"values": Mischief(trace)}

    authors[0].__reduce__ = reduce  # type: ignore[assignment]
    path = saved({"state_dict": theirs(), "config": authors[0]()}, tmp_path)
    with pytest.raises(CheckpointError, match=r"holds more than tensors .*not opened"):
        import_official(path, BASE)
    assert not trace.exists()


def test_names_and_shapes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = theirs()
    without = {name: value for name, value in state.items() if name != "vproj_clip.bias"}
    with pytest.raises(CheckpointError, match=r"official.ckpt: .* lacks 'vproj_clip.bias' and has unknown 'extra'"):
        import_official(saved(without | {"extra": torch.ones(1)}, tmp_path), BASE)
    with pytest.raises(CheckpointError, match=r"'query_input_proj.LayerNorm.weight' is \(3,\), not \(6,\)"):
        import_official(saved(state | {"query_input_proj.LayerNorm.weight": torch.ones(3)}, tmp_path), BASE)
    flat = state | {"query_pos_embed.position_embeddings.weight": torch.tensor(1.0)}
    with pytest.raises(CheckpointError, match=r"'query_pos_embed.position_embeddings.weight' is \(\), .* too few axes"):
        import_official(saved(flat, tmp_path), BASE)
    with pytest.raises(CheckpointError, match="no weights of MSC"):
        import_official(saved({"state_dict": {"linear.weight": torch.ones(2)}}, tmp_path), BASE)
    with pytest.raises(CheckpointError, match="no weights of MSC"):
        import_official(saved([1, 2], tmp_path), BASE)


def test_what_no_shape_shows_must_agree_with_what_the_file_says(tmp_path: Path) -> None:
    path = saved({"model": theirs(), "model_cfg": {"sft_factor": 0.09, "n_heads": 2}}, tmp_path)
    with pytest.raises(CheckpointError, match=r"sft_factor=0.09, .* add `--set model.sft_factor=0.09`"):
        import_official(path, BASE)
    settings, _ = import_official(path, BASE.with_settings(["model.sft_factor=0.09"]))
    assert (settings.model.sft_factor, settings.model.heads) == (0.09, 2)
    with pytest.raises(ConfigError, match="model.heads=3"):
        import_official(saved(theirs(), tmp_path), BASE.with_settings(["model.hidden=3", "model.heads=3"]))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"hello world", b"\x80\x02}q\x00."])
def test_what_is_no_checkpoint_is_an_error_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "official.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        import_official(path, BASE)
    assert "\n" not in str(error.value)
    with pytest.raises(CheckpointError, match="cannot be read"):
        import_official(tmp_path / "absent.ckpt", BASE)
    with pytest.raises(CheckpointError, match="cannot be read"):
        import_official(tmp_path, BASE)
