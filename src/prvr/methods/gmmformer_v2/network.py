"""GMMFormer v2: eight attention blocks of different reach, mixed anew at every place, over frames and over clips.

The network is MSC's without what MSC added (token sizes, the alignment head): MSC was built on it. Clips are plain
averages of equal length, and clips and frames weigh 0.7 : 0.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from prvr.core.types import Batch, Outputs, VideoBatch
from prvr.methods.msc import official as msc_official
from prvr.methods.msc.network import MSC, MSCConfig
from prvr.methods.official import Official, Place
from prvr.parts.spans import TokenSpans, equal_spans


@dataclass(frozen=True, kw_only=True)
class GMMFormerV2Config(MSCConfig):
    """MSC's settings with what was released for GMMFormer v2."""

    max_words: int = 30
    clip_weight: float = 0.7
    sized_attention: Literal["blocks", "none"] = "none"
    alignment: Literal["linear", "none"] = "none"
    query_draws: Literal[1, 2] = 2  # samples of dropout a query: one to be ranked and, as released, one to be diverse


class GMMFormerV2(MSC):
    """The two towers; fits `RetrievalModel`, and its forward makes what objectives read.

    In the released code zero vectors behind a short video take part in the ranking, so that no frame score is below 0;
    here padding is not there.
    """

    needs_query: ClassVar[bool] = False
    config: GMMFormerV2Config

    def __init__(self, config: GMMFormerV2Config) -> None:
        super().__init__(config)

    def token_spans(self, videos: VideoBatch) -> TokenSpans:
        """Seconds of the tokens that `encode_videos` makes."""
        return TokenSpans(frames=videos.frame_spans, clips=equal_spans(videos, videos.clips.shape[1]))

    def forward(self, batch: Batch) -> Outputs:
        """Videos with all their queries -> what objectives read.

        The authors encode the queries a second time for the diversity and the matching loss, so that in training
        another sample of dropout is made diverse than is ranked; `query_draws` = 1 reads one sample twice, as `embed`
        must.
        """
        outputs = super().forward(batch)
        if self.training and self.config.query_draws > 1:
            return outputs._replace(query=self.encode_queries(batch.queries))
        return outputs


def official_names() -> dict[str, Place]:
    """Each of the authors' parameter names -> where it lies in ours."""
    return {name: place for name, place in msc_official.official_names().items() if not name.startswith("vproj_clip")}


def from_official(state: Mapping[str, Tensor], *, where: str = "this state dict") -> dict[str, Tensor]:
    """The authors' weights under our names and in our shapes. Raises CheckpointError when they are of another."""
    return OFFICIAL.read(state, where=where)


OFFICIAL = Official(
    system="GMMFormer v2",
    places=official_names(),
    sizes=msc_official.SIZES,
    vectors=("weight_token",),
    said={**msc_official.OFFICIAL.said, "map_size": ("prepare.clips",)},
    implied={"alignment": "none"},
)
