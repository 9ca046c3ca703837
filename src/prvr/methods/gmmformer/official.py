"""The authors' parameter names and ours."""

from __future__ import annotations

from prvr.methods.official import Official, Place, family_sizes, layer_places, position_places, projection_places


def official_names() -> dict[str, Place]:
    """Each of the authors' parameter names -> where it lies in ours."""
    places: dict[str, Place] = {
        "modular_vector_mapping.weight": ("query_pooling.score.weight", ()),
        "modular_vector_mapping_2.weight": ("frame_pooling.score.weight", ()),
    }
    for branch in ("query", "frame", "clip"):
        places |= projection_places(f"{branch}_input_proj", f"{branch}_input")
        ours = "query_encoder.positions" if branch == "query" else f"{branch}_positions"
        places |= position_places(f"{branch}_pos_embed", ours)
    places |= layer_places("query_encoder", "query_encoder.layer")
    for k in range(4):
        for theirs, ours in (
            ("clip_encoder", "clip_mixtures.0"),
            ("clip_encoder_2", "clip_mixtures.1"),
            ("frame_encoder_1", "frame_mixtures.0"),
            ("frame_encoder_2", "frame_mixtures.1"),
        ):
            places |= layer_places(f"{theirs}.attn{k}", ours, k)
    return places


OFFICIAL = Official(
    system="GMMFormer",
    places=official_names(),
    sizes=family_sizes(),
    said={
        "n_heads": ("model.heads",),
        "map_size": ("model.clips", "prepare.clips"),
        "clip_scale_w": ("model.clip_weight",),
    },
)
