"""The authors' parameter names and ours, of DL-DKD and of DL-DKD++."""

from __future__ import annotations

from prvr.methods.official import (
    Official,
    Place,
    family_sizes,
    layer_places,
    linear_places,
    position_places,
    projection_places,
)


def official_names(*, plus: bool) -> dict[str, Place]:
    """Each of the authors' parameter names -> where it lies in ours; `plus`: those of DL-DKD++."""
    places: dict[str, Place] = {}
    inherit, explore = ("", "exp_") if plus else ("B_", "A_")
    frame, output = ("visual", "out_mapping_linear") if plus else ("frame", "mapping_linear")
    for theirs, ours in ((inherit, "inherit"), (explore, "explore")):
        places |= {f"{theirs}modular_vector_mapping.weight": (f"{ours}.query_pooling.score.weight", ())}
        for kind, name in (("query", "query"), (frame, "frame")):
            places |= position_places(f"{theirs}{kind}_pos_embed", f"{ours}.{name}_encoder.positions")
            places |= layer_places(f"{theirs}{kind}_encoder", f"{ours}.{name}_encoder.layer")
        places |= projection_places(f"{theirs}{frame}_input_proj", f"{ours}.frame_input")
        places |= linear_places(f"{theirs}{output}", f"{ours}.frame_output")
    places |= projection_places(f"{inherit}query_input_proj", "query_input")
    if plus:
        places |= projection_places(f"{explore}query_input_proj", "explore_query_input")
    return places


# DL-DKD has a second text projection that nothing reads
OFFICIAL = Official(
    system="DL-DKD",
    places=official_names(plus=False),
    sizes=family_sizes("B_query", "B_frame"),
    unused=("A_query_input_proj.",),
    said={"n_heads": ("model.heads",)},
    implied={"shared_words": True},
)
OFFICIAL_PLUS = Official(
    system="DL-DKD++",
    places=official_names(plus=True),
    sizes=family_sizes(frame="visual"),
    said={"n_heads": ("model.heads",)},
    implied={"shared_words": False},
)
