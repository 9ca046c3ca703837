"""The generated world: real video files, exact ground truth, and a licence that is ours.

A seed makes short untrimmed videos in which shapes do things in front of scenes, one description an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prvr.data.world.generate import World, generate_features, generate_world, iter_world, world_queries
    from prvr.data.world.render import world_frames
    from prvr.data.world.script import world_script
    from prvr.data.world.similarity import true_similarity

MANIFEST = "world.json"
"""The file beside the folder of videos that says: these were generated, and how."""

__all__ = [
    "MANIFEST",
    "World",
    "generate_features",
    "generate_world",
    "iter_world",
    "true_similarity",
    "world_frames",
    "world_queries",
    "world_script",
]

_HOMES = {
    "World": "generate",
    "generate_features": "generate",
    "generate_world": "generate",
    "iter_world": "generate",
    "true_similarity": "similarity",
    "world_frames": "render",
    "world_queries": "generate",
    "world_script": "script",
}


def __getattr__(name: str) -> Any:
    """Names are brought when they are asked for: the processes that make files start without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'prvr.data.world' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"prvr.data.world.{_HOMES[name]}"), name)
