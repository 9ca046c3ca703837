"""The verb that lists recipes."""

from __future__ import annotations

import argparse

from prvr.cli.screen import DONE, Parser, emit
from prvr.core.errors import ConfigError


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """recipes."""
    recipes = verbs.add_parser("recipes", help="list what `prvr train` can train, with all settings")
    recipes.add_argument(
        "words", nargs="*", metavar="WORD", help="words that the name must contain, or package.module:function"
    )
    recipes.add_argument("--show", action="store_true", help="print every setting, as --set takes it")
    recipes.add_argument("--json", action="store_true", help="print recipes and settings as JSON")
    recipes.set_defaults(run=run_recipes)
    recipes.description = "List the recipes: each is a method with the settings for a benchmark."
    recipes.shows(
        "prvr recipes",
        "prvr recipes curvspec i3d",
        "prvr recipes prvr.methods.msc.runs:tvr --show",
        "prvr recipes my_lab.agree:world --show   # a recipe of your own",
    )


def run_recipes(args: argparse.Namespace) -> int:
    """List recipes."""
    from prvr.core.config import assignments, to_dict
    from prvr.methods.recipe import load_recipe, own_recipes

    named = [word for word in args.words if ":" in word]
    parts = [word for word in args.words if ":" not in word]
    own = [name for name in own_recipes() if all(part in name for part in parts)] if parts or not named else []
    found = [load_recipe(name) for name in (*named, *own)]
    if not found:
        raise ConfigError(f"no recipe is called by {' and '.join(parts)}; `prvr recipes` lists them all")
    if args.json:
        emit([{"recipe": x.target, "title": x.title, "settings": to_dict(x.settings)} for x in found])
        return DONE
    width = max(len(recipe.target) for recipe in found)
    for recipe in found:
        print(f"{recipe.target:{width}}  {recipe.title}{'' if recipe.objective else ' (nothing to train)'}")
        if args.show:
            print("".join(f"    {line}\n" for line in assignments(recipe.settings)))
    return DONE
