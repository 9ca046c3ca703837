"""The authors' parameter names and ours.

They keep eight separate attention blocks; ours are stacked.
"""

from __future__ import annotations

from prvr.methods.official import (
    Official,
    Place,
    Sizes,
    family_sizes,
    layer_places,
    linear_places,
    position_places,
    projection_places,
)

_NUM_BLOCKS = 8
BLOCK = (("output.layer1", "up"), ("output.layer2", "down"), ("norm1", "norm1"), ("norm2", "norm2"))


def official_names() -> dict[str, Place]:
    """Each of the authors' parameter names -> where it lies in ours."""
    places: dict[str, Place] = {
        "weight_token": ("weight_token", ()),
        "modular_vector_mapping.weight": ("query_pooling.score.weight", ()),
        **linear_places("vproj_clip", "alignment"),
        **layer_places("query_encoder", "query_block", after=BLOCK),
    }
    for branch in ("query", "frame", "clip"):
        places |= position_places(f"{branch}_pos_embed", f"{branch}_positions")
        places |= projection_places(f"{branch}_input_proj", f"{branch}_input")
    for theirs, ours in (("clip_encoder", "clip_mixture"), ("frame_encoder_1", "frame_mixture")):
        for k in range(_NUM_BLOCKS):
            places |= layer_places(f"{theirs}.attn{k}", f"{ours}.blocks", k, after=BLOCK)
        places |= _reader(theirs, ours)
    return places


def undecayed(name: str) -> bool:
    """Which of our parameters the authors spare from weight decay.

    Those are biases, and the norms of input projections and positions; norms inside the blocks do decay.
    """
    return name.endswith(("bias", "input.norm.weight", "positions.norm.weight"))


def _reader(theirs: str, ours: str) -> dict[str, Place]:
    names = {f"{theirs}.ca.self.{part}": f"{ours}.reader.{part}" for part in ("query", "key", "value")}
    names |= {f"{theirs}.ca.{a}": f"{ours}.reader.{b}" for a, b in BLOCK}
    names |= {f"{theirs}.layer1": f"{ours}.mix_hidden", f"{theirs}.layer2": f"{ours}.mix_out"}
    return {a: place for key, value in names.items() for a, place in linear_places(key, value).items()}


SIZES: Sizes = family_sizes() | {"clips": ("clip_encoder.layer2.weight", 0)}
OFFICIAL = Official(
    system="MSC",
    places=official_names(),
    sizes=SIZES,
    vectors=("weight_token",),
    said={"n_heads": ("model.heads",), "sft_factor": ("model.sft_factor",), "clip_scale_w": ("model.clip_weight",)},
    implied={"alignment": "linear"},
)
