"""The parts against the authors' own numbers: reference arrays that their released code produced (files a, b, c, e, f).

Sizes and settings come from the files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from prvr.core.vectors import unit_rows
from prvr.methods.msc.cbva import average_segments, cbva
from prvr.methods.msc.merging import (
    connected_share,
    direct_share,
    level_of,
    merge_bipartite,
    merge_ladder,
    merge_neighbours,
    segment_clips,
)
from prvr.methods.msc.mixture import GaussianMixture
from prvr.methods.msc.network import MSC, MSCConfig
from prvr.methods.msc.official import OFFICIAL
from prvr.methods.msc.prepare import PrepareConfig, prepare_videos
from prvr.methods.msc.tcpl import relative_distances, tcpl_angle, tcpl_distance
from prvr.parts.attention import attention_probabilities
from prvr.parts.gaussian import OFFICIAL_WIDTHS, gaussian_table, gaussian_tables
from prvr.parts.masked import key_bias
from prvr.parts.nce import query_nce, video_nce
from prvr.parts.sampling import average_positions
from prvr.parts.triplet import query_triplet, video_triplet
from tests.parity.arrays import Arrays, close
from tests.parts.make import video_features

LEVELS = PrepareConfig().levels  # constants of their code


@pytest.fixture(scope="module")
def arrays(golden: Path) -> Callable[[str], Arrays]:
    return lambda name: Arrays(golden / "msc_gmmformer" / f"{name}.npz")


# a: averaging, merging of neighbours


def lengths(file: Arrays) -> list[int]:
    return [int(n) for n in file["lengths"]]


def test_videos_are_averaged_and_merged_as_published(arrays: Callable[[str], Arrays]) -> None:
    file = arrays("a_op_tome")
    for n in lengths(file):
        want = file.below(f"len{n}/")
        positions = len(want["frame_feat"])
        averaged = average_positions(want["input"], positions)
        close(averaged, want[f"avg{positions}"])
        close(unit_rows(averaged), want["frame_feat"])
        between = {int(x[1]) for x in file.matching(rf"len{n}/frame_to_token_(\d+)")}
        ladder = (*sorted(between, reverse=True), len(want["clip_merged"]))
        merged = merge_ladder(averaged[None], ladder)
        close(merged.tokens[0], want["clip_merged"])
        close(merged.size[0], want["sizes"])
        assert torch.equal(merged.slot[0], want["frame_to_clip"])
        for steps in range(1, len(ladder)):
            assert torch.equal(
                merge_ladder(averaged[None], ladder[:steps]).slot[0], want[f"frame_to_token_{ladder[steps - 1]}"]
            )
        close(cut_gaps(averaged, ladder), want["cut_gaps"])
        config = PrepareConfig(frames=positions, schedule=ladder, levels=(ladder[-1],))
        batch = prepare_videos([video_features(want["input"])], config)
        close(batch.frames[0], want["frame_feat"])
        close(batch.clips[0], want["clip_feat"])
        close(batch.clip_size[0], want["sizes"])
        assert torch.equal(batch.slot[0], want["frame_to_clip"])


def cut_gaps(positions: Tensor, ladder: Sequence[int]) -> Tensor:
    """How much more alike the last merged pair of each step is than the first that stays."""
    x, size, gaps = positions[None], torch.ones(1, len(positions)), []
    for target in ladder:
        drop = x.shape[1] - target
        alike = (x[0, 0::2] * x[0, 1::2]).sum(1).sort(descending=True).values
        gaps.append(alike[drop - 1] - alike[drop])
        x, size, _ = merge_neighbours(x, size, drop, metric=x)
    return torch.stack(gaps).double().float()


def test_other_numbers_of_positions(arrays: Callable[[str], Arrays]) -> None:
    file = arrays("a_op_tome")
    for name in [name for name in file if name.startswith(("avg", "uniform")) and name.endswith("/out")]:
        kind, length, _ = name.split("/")
        positions = int(kind.removeprefix("avg").removeprefix("uniform"))
        features = file[f"avg32/{length}/input"]
        short = kind.startswith("uniform") and len(features) <= positions
        close(features if short else average_positions(features, positions), file[name])


# b: Gaussian tables


def test_gaussian_tables(arrays: Callable[[str], Arrays]) -> None:
    file = arrays("b_gauss_masks")
    for name in [name for name in file if name.startswith("L")]:
        length, width = name.removeprefix("L").split("/w")
        close(gaussian_table(int(length), float(width)), file[name])
    order = [None if np.isnan(width) else width for width in file["block_order_widths"].tolist()]
    assert tuple(order) == OFFICIAL_WIDTHS
    assert gaussian_tables(8, order).shape == (len(order), 8, 8)


# c: the mixture block


def mixture(file: Arrays) -> GaussianMixture:
    _, length, width = file["x"].shape
    block = GaussianMixture(
        width,
        int(file.number("n_heads")),
        length,
        widths=OFFICIAL_WIDTHS,
        sft_factor=file.number("sft_factor"),
        dropout=0.0,
    )
    network = MSC(MSCConfig(video_width=1, text_width=1, hidden=width, heads=1, frames=length, clips=1, max_words=1))
    theirs = OFFICIAL.write(network.state_dict()) | {f"frame_encoder_1.{k}": v for k, v in file.below("sd/").items()}
    prefix = "frame_mixture."
    ours = {k.removeprefix(prefix): v for k, v in OFFICIAL.read(theirs).items() if k.startswith(prefix)}
    block.load_state_dict(ours)
    return block.eval()


def test_mixture_blocks_of_all_lengths(arrays: Callable[[str], Arrays], golden: Path) -> None:
    names = [path.stem for path in (golden / "msc_gmmformer").glob("c_dygmm_block_L*.npz")]
    for name in sorted(names) or ["c_dygmm_block_L32"]:
        check_mixture(arrays(name))


def check_mixture(file: Arrays) -> None:
    block, x, token = mixture(file), file["x"], file["weight_token"].flatten()
    every = torch.ones(x.shape[:2], dtype=torch.bool)
    mask, sizes = file["mask"].squeeze(1) > 0, file["sizes"].squeeze(-1)
    for case, valid, size in (
        ("plain", every, None), ("mask", mask, None), ("size", every, sizes), ("both", mask, sizes)
    ):  # fmt: skip
        bias = key_bias(valid, size)
        outputs = block.blocks(x, table=block.tables, bias=bias)
        tokens = block.reader(token, outputs, valid)
        close(tokens.transpose(0, 1), file[f"ca_tokens/{case}"])
        close(block.mix_logits(tokens, x.shape[1]).transpose(0, 1), file[f"mix_logits/{case}"])
        out = block(x, token, valid, size)
        close(out, file[f"out/{case}"] * valid[..., None])
        if f"attn0_probs/{case}" in file.arrays:
            close(first_probabilities(block, x, bias), file[f"attn0_probs/{case}"])
        if case == "plain":
            close(outputs[0, :1], file["sub/attn0_out"])
            close(outputs[6, :1], file["sub/attn6_out_w0.1"])
        if case == "both":
            close(outputs[4, :1], file["sub/attn4_out_w10_both"])


def first_probabilities(block: GaussianMixture, x: Tensor, bias: Tensor) -> Tensor:
    weight, offset = block.blocks.qkv_weight, block.blocks.qkv_bias
    qkv = torch.einsum("vne,pkde->vnpkd", x, weight) + offset
    return attention_probabilities(qkv, block.blocks.num_heads, table=block.tables, bias=bias)[:, 0]


# e: single losses


def check_loss(file: Arrays, name: str, loss: Callable[..., Tensor], **inputs: str) -> None:
    """Value and gradients in both precisions; `inputs` maps the name in grad_<name> to the name of the array."""
    for ending, dtype in (("", torch.float32), ("_f64", torch.float64)):
        if f"{name}/loss{ending}" not in file.arrays:
            continue
        leaves = [file[array].to(dtype).requires_grad_() for array in inputs.values()]
        value = loss(*leaves)
        close(value, file[f"{name}/loss{ending}"])
        for key, got in zip(inputs, torch.autograd.grad(value, leaves), strict=True):
            close(got, file[f"{name}/grad_{key}{ending}"])


def test_nce(arrays: Callable[[str], Arrays]) -> None:
    file = arrays("e_losses")
    own = file["nce/labels"]
    check_loss(file, "nce", lambda s: query_nce(s, own).mean() + video_nce(s, own).mean(), scores="nce/scores")


def test_triplet(arrays: Callable[[str], Arrays]) -> None:
    file = arrays("e_losses")
    own = file["triplet/labels"]
    for name in sorted(
        {"/".join(name.split("/")[:2]) for name in file if name.startswith("triplet/") and "/loss" in name}
    ):
        margin = float(name.partition("margin")[2] or 0.2)
        queries = videos = None  # the hardest
        if f"{name}/t2v_rank_draws" in file.arrays:
            queries = file[f"{name}/t2v_rank_draws"] - 1  # theirs counts from 1
            videos = file[f"{name}/v2t_rank_draws"].long() if len(file[f"{name}/v2t_rank_draws"]) else None

        check_loss(file, name, partial(both_triplets, own, margin, queries, videos), scores="triplet/scores")


def both_triplets(own: Tensor, margin: float, queries: Tensor | None, videos: Tensor | None, scores: Tensor) -> Tensor:
    by_query = query_triplet(scores, own, margin=margin, pool=1, ranks=queries)
    return by_query.mean() + video_triplet(scores, own, margin=margin, pool=1, ranks=videos).mean()


def test_tcpl(arrays: Callable[[str], Arrays]) -> None:
    file = arrays("e_losses")
    teacher = file["rkd/teacher"]
    close(unscaled(teacher.double()), file["rkd/teacher_pdist"])
    check_loss(file, "rkd/distance", lambda s: tcpl_distance(s, teacher.to(s.dtype)).mean(), student="rkd/student")
    check_loss(file, "rkd/angle", lambda s: tcpl_angle(s, teacher.to(s.dtype)).mean(), student="rkd/student")


def unscaled(x: Tensor) -> Tensor:
    """Distances in their own unit, from the relative ones and one pair."""
    relative = relative_distances(x)
    scaled: Tensor = relative * (torch.linalg.vector_norm(x[0] - x[1]) / relative[0, 1])
    return scaled


def test_cbva(arrays: Callable[[str], Arrays]) -> None:
    file = arrays("e_losses")
    features, sizes, slot = file["cbva/clip_video_feat"], file["cbva/sizes"].squeeze(-1), file["cbva/labels"]
    omega = connected_share(features, file.number("cbva/sim_thr"))
    close(omega, file["cbva/omega"].float())
    number = level_of(omega, LEVELS)
    assert torch.equal(number, file["cbva/levels"])
    segment = segment_clips(features, sizes, number, LEVELS)
    valid = torch.ones_like(slot, dtype=torch.bool)

    def each(frames: Tensor, clips: Tensor) -> Tensor:
        return cbva(frames, clips, slot=slot, segment=segment, clip_size=sizes, frame_valid=valid)

    close(each(file["cbva/frame"].double(), file["cbva/clip"].double()), file["cbva/per_video_loss"])
    check_loss(file, "cbva", lambda f, c: each(f, c).mean(), frame="cbva/frame", clip="cbva/clip")


def test_merging_of_segments(arrays: Callable[[str], Arrays]) -> None:
    file = arrays("e_losses")
    for v in range(len(file["cbva/levels"])):
        want = file.below(f"cbva/video{v}/")
        if not want:
            continue
        features, size = file["cbva/clip_video_feat"][v][None], file["cbva/sizes"][v].T
        slot, clips = file["cbva/labels"][v][None], file["cbva/clip"][v][None]
        steps = LEVELS[1 : len(want["labels_per_step"]) + 1]
        x, total = features, size
        for step, target in enumerate(steps):
            merged = merge_bipartite(x, total, target)
            x, total = merged.tokens, merged.size
            segment = segment_clips(features, size, torch.tensor([target]), LEVELS)
            assert torch.equal(segment.gather(1, slot)[0], want["labels_per_step"][step])
        assert torch.equal(segment.gather(1, slot)[0], want["merged_labels"])
        close(x[0], want["merged_clip_video_feat"])
        close(total[0], want["merged_sizes"].squeeze(-1))
        averaged, present = average_segments(clips, segment, size)
        close(averaged[present], want["merged_clip"])


# f: how connected a video is


def test_omega_and_level(arrays: Callable[[str], Arrays]) -> None:
    file = arrays("f_omega")
    clips = file["clip_video_feat"]
    for t, threshold in enumerate(file["thresholds"].tolist()):
        omega = connected_share(clips, threshold)
        close(omega, file["omega"][t].float())
        close(direct_share(clips, threshold), file["omega_direct_NOT_official"][t].float())
        assert torch.equal(level_of(omega, LEVELS), file["level"][t])
