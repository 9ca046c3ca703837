"""The authors' parameter names and ours.

They keep each k under six names, and three tensors that nothing reads; their attention blocks are separate, the flat
ones of ours are stacked.
"""

from __future__ import annotations

from prvr.methods.msc.official import BLOCK
from prvr.methods.official import (
    Official,
    Place,
    family_sizes,
    layer_places,
    linear_places,
    position_places,
    projection_places,
)

_WIDTHS = 4
_MAPS = ("query", "key", "value")
_REGIONS = {
    "frame_cross_attn.out_proj": "frame_attention.out_proj",
    "clip_cross_attn.out_proj": "clip_attention.out_proj",
    "frame_norm": "frame_norm",
    "clip_norm": "clip_norm",
    "fusion_gate.0": "gate",
    "region_refine.0": "refine_in",
    "region_refine.1": "refine_norm",
    "region_refine.4": "refine_out",
    "to_hyperbolic": "tangent",
}


def official_names() -> dict[str, Place]:
    """Each of the authors' parameter names -> where it lies in ours."""
    places: dict[str, Place] = {
        "modular_vector_mapping.weight": ("query_pooling.score.weight", ()),
        "modular_vector_mapping_3.weight": ("clip_pooling.score.weight", ()),
        "textual_alpha": ("query_scale", ()),
        "video_alpha": ("video_scale", ()),
        **projection_places("text_hyp_proj", "query_tangent"),
        **projection_places("vid_hyp_proj", "video_tangent"),
        **layer_places("query_encoder", "query_block", after=BLOCK),
    }
    for branch in ("query", "frame", "clip"):
        places |= position_places(f"{branch}_pos_embed", f"{branch}_positions")
        places |= projection_places(f"{branch}_input_proj", f"{branch}_input")
    for theirs, branch in (("clip_encoder", "clip"), ("frame_encoder_1", "frame")):
        places |= _mixture(theirs, f"{branch}_mixture")
        for i in range(_WIDTHS):
            places[f"{branch}_manifolds.{i}.k"] = (f"{branch}_mixture.k.{i}", ())
    for side in ("frame", "clip"):
        for kind in ("weight", "bias"):
            place = f"regions.{side}_attention.in_proj_{kind}", ()
            places[f"video_region_decomp.{side}_cross_attn.in_proj_{kind}"] = place
    for theirs, ours in _REGIONS.items():
        places |= linear_places(f"video_region_decomp.{theirs}", f"regions.{ours}")
    return places


def undecayed(name: str) -> bool:
    """Which of our parameters the authors spare from weight decay.

    Those are biases, the norms of projections and positions, and weights of the loss; k, scales and norms inside the
    blocks do decay.
    """
    return name.endswith(("bias", ".norm.weight")) or name.startswith("loss_weights")


def _mixture(theirs: str, ours: str) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for i in range(_WIDTHS):
        places |= layer_places(f"{theirs}.e_attns.{i}", f"{ours}.flat", i, after=BLOCK)
        block, own = f"{theirs}.h_attns.{i}", f"{ours}.curved.{i}"
        places |= _rest(block, own) | _lorentz(f"{block}.self_attn", f"{own}.attention")
    for part in _MAPS:
        places |= linear_places(f"{theirs}.ca.self.{part}", f"{ours}.reader.{part}")
    places |= _rest(f"{theirs}.ca", f"{ours}.reader")
    return (
        places
        | linear_places(f"{theirs}.layer1", f"{ours}.mix_hidden")
        | linear_places(f"{theirs}.layer2", f"{ours}.mix_out")
    )


def _rest(theirs: str, ours: str) -> dict[str, Place]:
    parts = (linear_places(f"{theirs}.{a}", f"{ours}.rest.{b}") for a, b in BLOCK)
    return {name: place for part in parts for name, place in part.items()}


def _lorentz(theirs: str, ours: str) -> dict[str, Place]:
    many = f"{theirs}.lorentz_multiattention"
    places: dict[str, Place] = {
        f"{theirs}.scale_alpha": (f"{ours}.scale", ()),
        f"{many}.scale": (f"{ours}.softness", ()),
        f"{many}.bias": (f"{ours}.logit_bias", ()),
        **projection_places(f"{theirs}.input_proj", f"{ours}.tangent_input"),
        **projection_places(f"{theirs}.output_proj", f"{ours}.output"),
    }
    for a, b in zip(("query", "keys", "values"), _MAPS, strict=True):
        places[f"{many}.linear_{a}.scale"] = (f"{ours}.{b}.reach", ())
        places[f"{many}.linear_{a}.weight.weight"] = (f"{ours}.{b}.linear.weight", ())
    return places


def _again() -> tuple[str, ...]:
    """The other names of each k."""
    owners = (
        "",
        "lorentz_multiattention.",
        *(f"lorentz_multiattention.linear_{x}." for x in ("query", "keys", "values")),
    )
    return tuple(
        f"{encoder}.h_attns.{i}.self_attn.{owner}manifold.k"
        for encoder in ("clip_encoder", "frame_encoder_1")
        for i in range(_WIDTHS)
        for owner in owners
    )


OFFICIAL = Official(
    system="CurvSpec",
    places=official_names(),
    sizes=family_sizes()
    | {"clips": ("clip_encoder.layer2.weight", 0), "tangent_width": ("text_hyp_proj.net.1.weight", 0)},
    unused=("curv", "modular_vector_mapping_2", "video_region_decomp.region_prototypes", *_again()),
    said={"n_heads": ("model.heads",), "sft_factor": ("model.sft_factor",), "clip_scale_w": ("model.clip_weight",)},
)
