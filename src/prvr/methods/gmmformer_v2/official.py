"""The authors' parameter names and ours: those of MSC without its alignment head."""

from __future__ import annotations

from prvr.methods.msc import official as msc
from prvr.methods.official import Official

OFFICIAL = Official(
    system="GMMFormer v2",
    places={name: place for name, place in msc.official_names().items() if not name.startswith("vproj_clip")},
    sizes=msc.SIZES,
    vectors=("weight_token",),
    said={**msc.OFFICIAL.said, "map_size": ("prepare.clips",)},
)
