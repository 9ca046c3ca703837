"""What can happen in the generated world, and the words for it.

An attribute value is a key here; its words are all true of it, and no word belongs to two values of one attribute.
"""

from __future__ import annotations

from typing import NamedTuple

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (214, 40, 40),
    "orange": (246, 134, 30),
    "yellow": (250, 212, 40),
    "green": (38, 168, 72),
    "blue": (38, 92, 214),
    "purple": (128, 54, 176),
    "pink": (246, 130, 186),
    "white": (246, 246, 242),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet"),
    "orange": ("orange", "tangerine"),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "blue": ("blue", "azure"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rosy"),
    "white": ("white", "ivory"),
}
SHAPE_WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "ball", "disc"),
    "square": ("square", "box", "block"),
    "triangle": ("triangle", "pyramid"),
    "star": ("star", "five-pointed star"),
    "heart": ("heart", "valentine"),
    "ring": ("ring", "hoop", "donut"),
    "cross": ("cross", "plus sign"),
    "moon": ("moon", "crescent"),
}
TEXTURE_WORDS: dict[str, tuple[str, ...]] = {
    "plain": ("plain", "smooth"),
    "striped": ("striped", "stripy"),
    "dotted": ("dotted", "spotted", "polka-dot"),
    "checkered": ("checkered", "chequered"),
}
SCENE_WORDS: dict[str, tuple[str, ...]] = {
    "meadow": ("in a meadow", "over the grass", "in a green field"),
    "desert": ("in the desert", "over the dunes", "above the sand"),
    "sea": ("at sea", "over the waves", "above the ocean"),
    "night": ("at night", "under the stars", "in the dark sky"),
    "city": ("in the city", "in front of tall buildings", "downtown"),
    "room": ("in a room", "indoors", "inside a house"),
    "forest": ("in the forest", "among the trees", "in the woods"),
    "mountains": ("in the mountains", "in front of snowy peaks", "high in the alps"),
}


class Verb(NamedTuple):
    """One way to say an action; in a pair's verb, `{}` is the other actor."""

    third: str  # it bounces
    gerund: str  # it is bouncing


SINGLE_ACTIONS: dict[str, tuple[Verb, ...]] = {
    "moves right": (
        Verb("moves to the right", "moving to the right"),
        Verb("glides rightwards", "gliding rightwards"),
        Verb("travels from left to right", "travelling from left to right"),
    ),
    "moves left": (
        Verb("moves to the left", "moving to the left"),
        Verb("glides leftwards", "gliding leftwards"),
        Verb("travels from right to left", "travelling from right to left"),
    ),
    "moves up": (Verb("moves up", "moving up"), Verb("rises", "rising"), Verb("floats upwards", "floating upwards")),
    "moves down": (
        Verb("moves down", "moving down"),
        Verb("sinks", "sinking"),
        Verb("drops slowly", "dropping slowly"),
    ),
    "bounces": (Verb("bounces", "bouncing"), Verb("hops", "hopping"), Verb("jumps up and down", "jumping up and down")),
    "spins": (
        Verb("spins", "spinning"),
        Verb("turns around itself", "turning around itself"),
        Verb("rotates", "rotating"),
    ),
    "grows": (Verb("grows", "growing"), Verb("gets bigger", "getting bigger"), Verb("swells", "swelling")),
    "shrinks": (Verb("shrinks", "shrinking"), Verb("gets smaller", "getting smaller"), Verb("dwindles", "dwindling")),
    "blinks": (
        Verb("blinks", "blinking"),
        Verb("flashes", "flashing"),
        Verb("disappears and comes back", "vanishing and coming back"),
    ),
    "circles": (Verb("goes round in a circle", "going round in a circle"), Verb("flies a loop", "flying a loop")),
    "zigzags": (Verb("zigzags", "zigzagging"), Verb("goes along in a zigzag", "going along in a zigzag")),
    "splits": (
        Verb("splits in two", "splitting in two"),
        Verb("breaks apart", "breaking apart"),
        Verb("divides", "dividing"),
    ),
    "pulses": (
        Verb("pulses", "pulsing"),
        Verb("throbs", "throbbing"),
        Verb("swells and shrinks in turn", "swelling and shrinking in turn"),
    ),
    "swings": (
        Verb("swings from side to side", "swinging from side to side"),
        Verb("goes back and forth", "going back and forth"),
    ),
}
PAIR_ACTIONS: dict[str, tuple[Verb, ...]] = {
    "chases": (
        Verb("chases {}", "chasing {}"),
        Verb("runs after {}", "running after {}"),
        Verb("follows {}", "following {}"),
    ),
    "meets": (Verb("meets {}", "meeting {}"), Verb("comes together with {}", "coming together with {}")),
    "leaves": (Verb("leaves {}", "leaving {}"), Verb("moves away from {}", "moving away from {}")),
    "orbits": (Verb("orbits {}", "orbiting {}"), Verb("goes around {}", "going around {}")),
    "swaps": (Verb("trades places with {}", "trading places with {}"), Verb("swaps with {}", "swapping with {}")),
    "pushes": (Verb("pushes {}", "pushing {}"), Verb("shoves {}", "shoving {}")),
}
ACTIONS: dict[str, tuple[Verb, ...]] = {**SINGLE_ACTIONS, **PAIR_ACTIONS}

REPEATED = ("bounces", "spins", "blinks", "circles", "zigzags", "pulses", "swings", "orbits")
"""Actions of which `again and again` is true."""

IDLE = ("stands", "sways")
"""What distractors do: nothing that any description says."""

SIZES: dict[str, int] = {"tiny": 12, "demo": 400, "large": 5000}
"""Videos in a world of each name."""
