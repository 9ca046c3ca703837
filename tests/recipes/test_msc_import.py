"""Authors' checkpoints: what is read, what is refused, and that a refused file never runs."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prvr.core.errors import CheckpointError, ConfigError
from prvr.models.msc_official import to_official
from prvr.recipes.msc import MSCSettings
from prvr.recipes.msc_import import import_official
from tests.models.make import SMALL, network

OTHER = replace(SMALL, video_width=1, text_width=1, hidden=2, max_words=1, frames=1, clips=1)
BASE = MSCSettings(model=OTHER)


def theirs() -> dict[str, Tensor]:
    return {name: value.clone() for name, value in to_official(network().state_dict()).items()}


def saved(content: Any, folder: Path) -> Path:
    path = folder / "official.ckpt"
    torch.save(content, path)
    return path


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
    assert settings == replace(BASE, model=SMALL)
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


def test_names_and_shapes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = theirs()
    without = {name: value for name, value in state.items() if name != "vproj_clip.bias"}
    with pytest.raises(CheckpointError, match=r"official.ckpt: .* lacks 'vproj_clip.bias' and has unknown 'extra'"):
        import_official(saved(without | {"extra": torch.ones(1)}, tmp_path), BASE)
    with pytest.raises(CheckpointError, match=r"query_input.norm.weight is \(3,\), expected \(6,\)"):
        import_official(saved(state | {"query_input_proj.LayerNorm.weight": torch.ones(3)}, tmp_path), BASE)
    with pytest.raises(CheckpointError, match="too few axes"):
        import_official(saved(state | {"clip_pos_embed.position_embeddings.weight": torch.tensor(1.0)} | {
            "query_pos_embed.position_embeddings.weight": torch.tensor(1.0)}, tmp_path), BASE)  # fmt: skip
    with pytest.raises(CheckpointError, match="no weights of MSC"):
        import_official(saved({"state_dict": {"linear.weight": torch.ones(2)}}, tmp_path), BASE)
    with pytest.raises(CheckpointError, match="no weights of MSC"):
        import_official(saved([1, 2], tmp_path), BASE)


def test_what_no_shape_shows_must_agree_with_what_the_file_says(tmp_path: Path) -> None:
    path = saved({"model": theirs(), "model_cfg": {"sft_factor": 0.09, "n_heads": 2}}, tmp_path)
    with pytest.raises(CheckpointError, match=r"sft_factor=0.09, .* add `--set model.sft_factor=0.09`"):
        import_official(path, BASE)
    settings, _ = import_official(path, replace(BASE, model=replace(OTHER, sft_factor=0.09)))
    assert (settings.model.sft_factor, settings.model.heads) == (0.09, 2)
    with pytest.raises(ConfigError, match="model.heads=3"):
        import_official(saved(theirs(), tmp_path), replace(BASE, model=replace(OTHER, hidden=3, heads=3)))


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
