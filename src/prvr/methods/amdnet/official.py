"""The authors' parameter names and ours."""

from __future__ import annotations

from prvr.methods import official
from prvr.methods.official import Official, Place, layer_places, linear_places, position_places, projection_places


def official_names() -> dict[str, Place]:
    """Each of the authors' parameter names -> where it lies in ours."""
    return {
        **projection_places("query_input_proj", "query_input"),
        **projection_places("clip_input_proj", "video_input"),
        **position_places("clip_pos_embed", "video_positions"),
        **layer_places("clip_encoder.attn0", "plain"),
        **layer_places("clip_encoder.attn1", "windowed"),
        **linear_places("clip_encoder.clip2video.layernorm", "whole_norm"),
        **linear_places("clip_encoder.clip2video.fc_out1", "whole"),
        **linear_places("clip_encoder.fc_gauss", "anchors"),
    }


def undecayed(name: str) -> bool:
    """What the authors spare from weight decay: every bias, and every norm but that of the whole video, which has
    another name with them.
    """
    return official.undecayed(name) and name != "whole_norm.weight"


OFFICIAL = Official(
    system="AMDNet",
    places=official_names(),
    sizes={
        "video_width": ("clip_input_proj.net.1.weight", 1),
        "text_width": ("query_input_proj.net.1.weight", 1),
        "hidden": ("query_input_proj.net.1.weight", 0),
    },
    said={"n_heads": ("model.heads",), "map_size": ("model.frames", "prepare.frames")},
)
