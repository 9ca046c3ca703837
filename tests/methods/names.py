"""How tests write the name of a run."""

from __future__ import annotations


def named(short: str) -> str:
    """`msc:world` -> the function that `prvr train` takes."""
    method, _, run = short.partition(":")
    return f"prvr.methods.{method}.runs:{run}"
