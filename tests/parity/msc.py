"""The authors' MSC as ours: their weights' sizes as settings, and their collated batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prvr.core.types import Batch, QueryBatch
from prvr.methods.msc.merging import connected_share, level_of, segment_clips
from prvr.methods.msc.network import MSCConfig
from prvr.methods.msc.prepare import MSCVideos, PrepareConfig


def their_network(
    weights: Mapping[str, Tensor], *, heads: int, sft_factor: float, clip_weight: float = 0.4
) -> MSCConfig:
    """The sizes of their weights, and what no weight shows; nothing is dropped."""
    return MSCConfig(
        video_width=weights["frame_input_proj.net.1.weight"].shape[1],
        text_width=weights["query_input_proj.net.1.weight"].shape[1],
        hidden=weights["weight_token"].shape[-1],
        heads=heads,
        max_words=len(weights["query_pos_embed.position_embeddings.weight"]),
        frames=len(weights["frame_encoder_1.layer2.weight"]),
        clips=len(weights["clip_encoder.layer2.weight"]),
        sft_factor=sft_factor,
        clip_weight=clip_weight,
        input_dropout=0.0,
        dropout=0.0,
    )


def their_batch(arrays: Mapping[str, Tensor], *, threshold: float) -> Batch[MSCVideos]:
    """A batch as they collate it; segments are made from the features, as `prepare_videos` does."""
    levels = PrepareConfig().levels
    clips, size = arrays["clip_video_features"], arrays["merge_size"]
    number = level_of(connected_share(clips, threshold), levels)
    words, valid = arrays["text_feat"], arrays["text_mask"] > 0
    frames = arrays["frame_video_features"]
    return Batch(
        videos=MSCVideos(
            frames=frames,
            frame_valid=arrays["videos_mask"] > 0,
            clips=clips,
            clip_size=size,
            slot=arrays["merged_frame_label"].long(),
            segment=segment_clips(clips, size, number, levels),
            frame_spans=torch.zeros(*frames.shape[:2], 2),
        ),
        # the last real row is the sentence
        queries=QueryBatch(words=words, valid=valid, sentence=words[torch.arange(len(words)), valid.sum(1) - 1]),
        video_of_query=arrays["text_labels"].long(),
    )
