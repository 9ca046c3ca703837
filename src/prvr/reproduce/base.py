"""The benchmarks by name, what their data are made of, and the full method for each."""

from __future__ import annotations

from collections.abc import Mapping

from prvr.data.folder import DataFolder
from prvr.data.world import MANIFEST
from prvr.methods.msc import runs as msc
from prvr.methods.recipe import Recipe, load_recipe

NAMES = {
    "qvhighlights": "QVHighlights",
    "tvr": "TVR",
    "activitynet": "ActivityNet Captions",
    "charades": "Charades-STA",
}


def base_recipe(benchmark: str, data: DataFolder) -> Recipe:
    """The full method for a benchmark; for any other data the generated world's, as wide as its features."""
    if benchmark in NAMES:
        return load_recipe(f"prvr.methods.msc.runs:{benchmark}")
    widths = [f"model.video_width={data.spec.video_width}", f"model.text_width={data.spec.text_width}"]
    return msc.world().with_settings(widths)


def stamp_of(data: DataFolder) -> str:
    """What a table or a figure of these data says on its face; nothing where features are of real videos."""
    if data.spec.simulated:
        return "SIMULATED features: says nothing about real videos"
    if (data.root / MANIFEST).exists() or data.spec.name.partition("@")[0] == "world":
        return "GENERATED videos: says nothing about real ones"
    return ""


def one_run(recipes: Mapping[str, Recipe]) -> list[list[str]]:
    """Rows by their titles -> the titles of those that are one and the same run, where several are."""
    groups: dict[str, list[str]] = {}
    for title, recipe in recipes.items():
        groups.setdefault(repr((recipe.target, recipe.settings)), []).append(title)
    return [titles for titles in groups.values() if len(titles) > 1]
