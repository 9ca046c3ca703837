"""The authors' parameter names and ours."""

from __future__ import annotations

from prvr.methods.official import Official, Place, family_sizes, layer_places, position_places, projection_places


def official_names() -> dict[str, Place]:
    """Each of the authors' parameter names -> where it lies in ours."""
    places: dict[str, Place] = {
        "modular_vector_mapping.weight": ("query_pooling.score.weight", ()),
        "mapping_linear.0.weight": ("guide_key.weight", ()),
        "mapping_linear.1.weight": ("guide_value.weight", ()),
    }
    for branch in ("query", "frame", "clip"):
        places |= projection_places(f"{branch}_input_proj", f"{branch}_input")
        places |= position_places(f"{branch}_pos_embed", f"{branch}_encoder.positions")
        places |= layer_places(f"{branch}_encoder", f"{branch}_encoder.layer")
    return places


OFFICIAL = Official(
    system="MS-SL",
    places=official_names(),
    sizes=family_sizes(),
    said={"n_heads": ("model.heads",), "map_size": ("model.clips", "prepare.clips")},
    signs={"use_matcher": False},  # of BGM-Net, whose tensors have the same names and shapes
)
