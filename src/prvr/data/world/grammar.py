"""Acts to sentences: always true, seldom complete, and worded in many ways."""

from __future__ import annotations

import re
from itertools import chain
from random import Random

from prvr.data.world.acts import Act, Actor
from prvr.data.world.script import pick
from prvr.data.world.vocabulary import (
    ACTIONS,
    COLOUR_WORDS,
    REPEATED,
    SCENE_WORDS,
    SHAPE_WORDS,
    TEXTURE_WORDS,
    Verb,
)

FINITE = (
    "{who} {third}{often}{where}",
    "{where_first}{who} {third}{often}",
    "there is {who} that {third}{often}{where}",
    "{who} which {third}{often}{where}",
)
PROGRESSIVE = (
    "{who} is {gerund}{often}{where}",
    "{who} {gerund}{often}{where}",
    "we see {who} {gerund}{often}{where}",
    "{where_first}{who} is {gerund}{often}",
)
OFTEN = ("again and again", "over and over")
WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")


def describe(act: Act, rng: Random) -> str:
    """One sentence that is true of an act; colour, shape and action are always in it, texture and scene often."""
    verb = pick(rng, ACTIONS[act.action])
    who, *others = (noun_phrase(actor, rng) for actor in act.actors)
    where = pick(rng, SCENE_WORDS[act.scene]) if rng.random() < 0.6 else ""
    often = f" {pick(rng, OFTEN)}" if act.action in REPEATED and rng.random() < 0.2 else ""
    frame = pick(rng, FINITE + PROGRESSIVE)
    other = others[0] if others else ""
    sentence = frame.format(
        who=who,
        third=verb.third.format(other),
        gerund=verb.gerund.format(other),
        often=often,
        where=where and f" {where}",
        where_first=where and f"{where} ",
    )
    return f"{sentence[0].upper()}{sentence[1:]}."


def noun_phrase(actor: Actor, rng: Random) -> str:
    """An actor with its article."""
    said = rng.random() < (0.25 if actor.texture == "plain" else 0.75)
    words = [pick(rng, COLOUR_WORDS[actor.colour]), pick(rng, SHAPE_WORDS[actor.shape])]
    if said:
        words.insert(0, pick(rng, TEXTURE_WORDS[actor.texture]))
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join((article, *words))


def vocabulary() -> tuple[str, ...]:
    """Every word that a description can hold, sorted."""
    verbs: chain[Verb] = chain.from_iterable(ACTIONS.values())
    attributes = (COLOUR_WORDS, SHAPE_WORDS, TEXTURE_WORDS, SCENE_WORDS)
    said = chain(
        (phrase for table in attributes for phrases in table.values() for phrase in phrases),
        chain.from_iterable((verb.third, verb.gerund) for verb in verbs),
        (re.sub(r"{\w+}", " ", frame) for frame in FINITE + PROGRESSIVE),
        OFTEN,
        ("a", "an"),
    )
    return tuple(sorted({word for text in said for word in WORD.findall(text)}))
