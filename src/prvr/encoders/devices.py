"""Where an encoder computes and how precisely, with the reason, so that `doctor` can say why."""

from __future__ import annotations

from typing import NamedTuple

import torch

from prvr.core.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "fp32", "bf16")


class Device(NamedTuple):
    """A device and why it was taken."""

    name: str  # cpu, cuda or mps
    reason: str


def pick_device(name: str = "auto") -> Device:
    """`auto` takes CUDA, then MPS, then the CPU. Raises ConfigError for an unknown or unavailable device."""
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    choices = ", ".join(("auto", *(device for device, here in present.items() if here)))
    if name == "auto":
        if present["cuda"]:
            return Device("cuda", f"CUDA found: {torch.cuda.get_device_name()}")
        return Device("mps", "no CUDA, MPS found") if present["mps"] else Device("cpu", "no CUDA, no MPS")
    if name not in present:
        raise ConfigError(f"--device {name}: unknown device; choose one of {choices}")
    if not present[name]:
        raise ConfigError(
            f"--device {name}: not available to PyTorch {torch.__version__} here; choose one of {choices}"
        )
    return Device(name, "asked for")


def pick_dtype(name: str, device: str) -> torch.dtype:
    """`auto` is bf16 on a CUDA device that has it and fp32 elsewhere. Raises ConfigError for an unknown name."""
    if name not in DTYPES:
        raise ConfigError(f"--dtype {name}: unknown precision; choose one of {', '.join(DTYPES)}")
    if name == "auto":
        name = "bf16" if device == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32
