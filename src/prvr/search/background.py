"""Phrases and sentences about what few libraries hold: the background that a score has to stand out from.

Made here from word lists of our own, always the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise, product, zip_longest
from random import Random
from string import ascii_lowercase as ALPHABET
from typing import NamedTuple, TypeVar

from prvr.index.words import content, fold
from prvr.search.words import SIZES, size_of

T = TypeVar("T")

COUNT = 400  # of each size: enough to fit a tail to
COMMON = 100  # of each size and source, of which some words are about things that most libraries show
LETTERS = 100  # strings of letters of each size

LONG = (
    "{who} {does} {where}",
    "{where}, {who} {does}",
    "we see how {who} {does} {where}",
    "{who} {does} while others watch {where}",
    "a close view of {who} who {does} {where}",
    "{who} {does} and then rests {where}",
)
IN_COMMON = {
    "looks": ("{look} {who}", "the {look} {who}", "the {look} {who} {does}", "the {look} {who} {does} {where}"),
    "places": ("the {who} {place}", "the {who} {does} {place}", "the {who} {does} and then rests {place}"),
    "both": ("the {look} {who} {place}", "the {look} {who} {does} {place}"),
}
SHORT = ("{who} {does}", "{who} {where}", "{does}", "{where}", "{who}")
_LOOKS = """
red blue green white yellow orange pink purple golden striped spotted plain smooth dotted crimson scarlet tangerine
emerald azure violet rosy ivory stripy checkered tall
"""
LOOKS = tuple(_LOOKS.split())
PLACES = tuple(f"in the {place}" for place in ("city", "forest", "mountains", "desert", "dark", "grass", "woods"))
PLACES += ("at night", "in a room", "at sea", "in a meadow", "under the stars", "over the waves")


class Topic(NamedTuple):
    """Who does what where; any of each go together."""

    who: tuple[str, ...]
    does: tuple[str, ...]
    where: tuple[str, ...]


TOPICS = (
    Topic(
        ("a blacksmith", "an old farrier", "a sword maker"),
        ("hammers a glowing blade", "cools red iron in water", "pumps the bellows of a forge", "bends a hot horseshoe"),
        ("in a dark smithy", "beside an anvil", "at a medieval fair"),
    ),
    Topic(
        ("a glass blower", "a potter", "a stone carver"),
        ("turns a molten bubble on a pipe", "shapes wet clay on a wheel", "chisels a marble face", "opens a hot kiln"),
        ("in a craft workshop", "in front of a furnace", "on a dusty bench"),
    ),
    Topic(
        ("an astronaut", "a cosmonaut", "a space engineer"),
        ("floats through a hatch", "repairs a solar panel", "waves at the camera upside down", "straps into a capsule"),
        ("on a space station", "above the curved earth", "in a training pool"),
    ),
    Topic(
        ("a submarine", "a diver with a lamp", "a robot with two arms"),
        ("follows a pipeline", "lights up a rusty wreck", "collects a sample of coral", "sinks past a shoal"),
        ("on the ocean floor", "under thick ice", "beside a black smoker"),
    ),
    Topic(
        ("a surgeon", "a dentist", "a nurse in blue"),
        ("stitches a wound", "drills a tooth", "holds an x-ray against the light", "prepares a syringe"),
        ("in an operating theatre", "under a bright lamp", "in a field hospital"),
    ),
    Topic(
        ("a penguin", "a walrus", "a polar bear"),
        ("slides on its belly", "dives through a hole in the ice", "feeds its young", "shakes off the snow"),
        ("in Antarctica", "on an ice floe", "in a white storm"),
    ),
    Topic(
        ("a giraffe", "a herd of zebras", "a lioness", "an elephant"),
        ("drinks at a water hole", "runs from a hunter", "pulls leaves from an acacia", "rolls in the mud"),
        ("on the savanna", "beneath a lone tree", "in the dry season"),
    ),
    Topic(
        ("a sumo wrestler", "a fencer", "a judo fighter"),
        ("throws the other out of the ring", "lunges with a foil", "bows to the referee", "grips a belt"),
        ("in a crowded hall", "on a mat", "at the championship"),
    ),
    Topic(
        ("a racing driver", "a mechanic in gloves", "a pit crew"),
        ("changes four tyres", "refuels the car", "overtakes in the last bend", "skids into the barrier"),
        ("on a race track", "in the rain", "under floodlights"),
    ),
    Topic(
        ("a steam locomotive", "a cargo train", "a mountain tram"),
        ("crosses a high viaduct", "takes on coal", "whistles out of a tunnel", "climbs a steep slope"),
        ("in a narrow gorge", "at an old station", "through the snow"),
    ),
    Topic(
        ("a farmer", "a combine harvester", "a shepherd with two dogs"),
        ("cuts a field of wheat", "drives sheep through a gate", "loads bales on a trailer", "milks a goat"),
        ("in a wide valley", "at harvest time", "behind the barn"),
    ),
    Topic(
        ("a sushi chef", "a baker", "a pizza maker"),
        ("slices raw tuna", "pulls loaves from an oven", "spins dough in the air", "rolls rice in seaweed"),
        ("in an open kitchen", "before dawn", "behind a glass counter"),
    ),
    Topic(
        ("a crane", "a worker in a helmet", "an excavator"),
        ("lifts a steel beam", "pours concrete", "digs a trench", "welds a joint with flying sparks"),
        ("on a building site", "on the fortieth floor", "beside a dam"),
    ),
    Topic(
        ("an opera singer", "a string quartet", "a brass band"),
        ("holds a very long note", "tunes the instruments", "takes a bow", "marches past the flags"),
        ("on a gilded stage", "in a cathedral", "in a town square"),
    ),
    Topic(
        ("a volcano", "a geyser", "a river of lava"),
        ("throws ash into the sky", "steams in the morning", "sets a road on fire", "hisses into the sea"),
        ("on an island", "in a barren land", "at dusk"),
    ),
    Topic(
        ("a tornado", "a hurricane", "a sand storm"),
        ("rips off a roof", "swallows a village", "bends the palms", "lifts a truck"),
        ("on the plains", "along the coast", "in the outback"),
    ),
    Topic(
        ("a scientist", "a chemist in goggles", "a student with a pipette"),
        ("fills a row of test tubes", "looks into a microscope", "mixes two coloured liquids", "feeds a white mouse"),
        ("in a laboratory", "in a clean room", "at a university"),
    ),
    Topic(
        ("a judge", "a lawyer", "a politician"),
        ("swears an oath", "reads out a verdict", "shakes hands for the press", "raises a hand to vote"),
        ("in a courtroom", "in parliament", "on the steps of a palace"),
    ),
    Topic(
        ("a knight in armour", "a roman soldier", "an archer"),
        ("charges with a lance", "storms the castle gate", "draws a long bow", "falls from a horse"),
        ("on a battlefield", "in an old film", "at a tournament"),
    ),
    Topic(
        ("a bee keeper", "a butterfly", "an ant"),
        ("carries a leaf", "lifts a frame of honey", "breaks out of a cocoon", "lands on a thistle"),
        ("in a garden hive", "seen through a lens", "on a summer day"),
    ),
)


@cache
def background(size: int) -> tuple[str, ...]:
    """COUNT different sentences of one of the SIZES, or all there are, in a fixed order: the topics take turns."""
    turns = zip_longest(*(_of(topic, size) for topic in range(len(TOPICS))))
    return tuple(dict.fromkeys(text for turn in turns for text in turn if text))[:COUNT]


@cache
def in_common(source: str, size: int) -> tuple[str, ...]:
    """COMMON different sentences of a size about foreign things that look like others, or are where others are.

    None where the source, one of IN_COMMON, has no sentence of this size.
    """
    rng = Random(f"{source} {size}")  # only .random() is drawn, which is the same on every machine
    found: dict[str, None] = {}
    for _ in range(100 * COMMON):
        topic = _pick(rng, TOPICS)
        text = _pick(rng, IN_COMMON[source]).format(
            who=_pick(rng, topic.who).split(" ", 1)[1],
            does=_pick(rng, topic.does),
            where=_pick(rng, topic.where),
            look=_pick(rng, LOOKS),
            place=_pick(rng, PLACES),
        )
        if size_of(text) == size:
            found[text] = None
        if len(found) == COMMON:
            break
    return tuple(found)


def letters(count: int, *, size: int = 0, seed: str = "background") -> list[str]:
    """Strings of letters that are no words, as many together as sentences of a size have words."""
    rng = Random(f"letters {seed} {size}")
    fewest, most = SIZES[size]
    return [
        " ".join(
            "".join(_pick(rng, ALPHABET) for _ in range(3 + int(rng.random() * 6)))
            for _ in range(fewest + number % (most - fewest + 1))
        )
        for number in range(count)
    ]


def _of(topic: int, size: int) -> list[str]:
    """All that can be said about one topic in so many words, shuffled."""
    rng = Random(f"background {topic} {size}")
    parts = TOPICS[topic]
    wholes = [
        frame.format(who=who, does=does, where=where) for frame, who, does, where in product((*SHORT, *LONG), *parts)
    ]
    said = wholes if size else [words for part in parts for text in part for words in _short(text)]
    fitting = [text for text in dict.fromkeys(said) if size_of(text) == size]
    return sorted(fitting, key=lambda _: rng.random())


def _short(text: str) -> list[str]:
    """The one or two words that people type: one that means something, or two that stand together."""
    words, meant = fold(text), set(content(text))
    pairs = [f"{a} {b}" for a, b in pairwise(words) if b in meant and (a in meant or a == "a")]
    return [*(word for word in words if word in meant), *pairs]


def _pick(rng: Random, values: Sequence[T]) -> T:
    return values[int(rng.random() * len(values))]
