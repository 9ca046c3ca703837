"""Authors' checkpoints of every system: reference weights in the layout of the released scripts, imported, rank as the
authors' own code did (the files of mssl, bgmnet, dldkd, amdnet and msc_gmmformer that hold a network).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from prvr.runs.runs import import_run, open_run

from prvr.core.types import Batch, FeatureSpec, Outputs, QueryAtVideo, RetrievalModel
from prvr.data.dataset import take
from prvr.data.folder import DataFolder
from prvr.evaluation.scoring import score_tokens
from prvr.methods.recipe import load_recipe
from prvr.parts.scoring import cosine_scores
from tests.methods.names import named
from tests.parity import test_golden_amdnet, test_golden_dldkd
from tests.parity.arrays import Arrays, close
from tests.parity.msc import their_batch
from tests.parity.retrieval import file_order, read_batch

Check = Callable[[Any, Arrays], None]


@dataclass(frozen=True)
class Case:
    """One system: its file, the recipe that reads it, and how its model is compared."""

    file: str
    recipe: str
    check: Check
    settings: tuple[str, ...] = ()
    said: tuple[tuple[str, Any], ...] = ()  # in their settings, beside the number of heads
    sides: tuple[str, str] = ("frame_input_proj", "query_input_proj")


def rescored(names: tuple[str, str]) -> Check:
    """Clip and frame scores of a model that compares by itself."""

    def check(model: QueryAtVideo, file: Arrays) -> None:
        made, batch = cast(RetrievalModel, model), read_batch(file)
        scores = model.scores(made.encode_queries(batch.queries), made.encode_videos(batch.videos))
        close(scores.clip, file[names[0]])
        close(scores.frame, file[names[1]])

    return check


def side_by_side(model: RetrievalModel, file: Arrays) -> None:
    batch = test_golden_dldkd.read_batch(file)
    queries, videos = file_order(file)
    scores = score_tokens(model.encode_queries(batch.queries), [model.encode_videos(batch.videos)])
    close(scores.fused(model.clip_weight)[queries][:, videos] * 2**0.5, file["eval/fused"])


def embedded(read: Callable[[Arrays], Batch], fused: str) -> Check:
    def check(model: Any, file: Arrays) -> None:
        outputs: Outputs = model(read(file))
        close(outputs.cosine.clip, file["out/clip_score_cos"])
        close(outputs.cosine.frame, file["out/frame_score_cos"])
        close(outputs.cosine.fused(model.clip_weight), file[fused])

    return check


def msc_batch(file: Arrays) -> Batch:
    return their_batch(file.below("batch/"), threshold=file.number("meta/sim_thr"))


def sentences(model: RetrievalModel, file: Arrays) -> None:
    videos = take(test_golden_amdnet.in_file_order(file, 32), file["batch/video_order"])
    queries = test_golden_amdnet.queries_of(file["batch/text_feat"])
    close(cosine_scores(model.encode_queries(queries), model.encode_videos(videos)).frame, file["train/S"])


V1, V2 = "out/fused_score_0.7clip_0.3frame", "out/fused_score_0.4clip_0.6frame"
CASES = (
    Case("mssl/mssl", "mssl:tvr_i3d", rescored(("infer/S_c", "infer/S_f")), said=(("map_size", 32),)),
    Case("bgmnet/bgmnet", "bgmnet:tvr", rescored(("infer/S_m", "infer/S_c")),
         said=(("map_size", 32), ("use_matcher", False))),
    Case("dldkd/dldkd_iccv", "dldkd:tvr_i3d", side_by_side, sides=("B_frame_input_proj", "B_query_input_proj")),
    Case("dldkd/dldkdpp", "dldkd:tvr_plus", side_by_side, sides=("visual_input_proj", "query_input_proj")),
    Case("msc_gmmformer/h_gmmformer_v1", "gmmformer:tvr", embedded(read_batch, V1),
         settings=("model.gaussian_length=none",), said=(("map_size", 32), ("clip_scale_w", 0.7))),
    Case("msc_gmmformer/h_gmmformer_v2", "gmmformer_v2:activitynet", embedded(read_batch, V1),
         said=(("map_size", 32), ("clip_scale_w", 0.7), ("sft_factor", 0.6))),
    Case("msc_gmmformer/d_msc_net", "msc:qvhighlights", embedded(msc_batch, V2),
         said=(("map_size", 128), ("clip_scale_w", 0.4), ("sft_factor", 0.6))),
    Case("amdnet/amdnet", "amdnet:tvr_clip_b", sentences, said=(("map_size", 32),),
         sides=("clip_input_proj", "query_input_proj")),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file.partition("/")[2])
def test_an_imported_checkpoint_ranks_as_its_authors_code(case: Case, golden: Path, tmp_path: Path) -> None:
    file = Arrays(golden / f"{case.file}.npz")
    weights = file.below("sd/")
    settings = {"n_heads": 4, "device": [0], **dict(case.said)}
    if case.file.startswith(("msc_gmmformer", "amdnet")):
        content: dict[str, Any] = {"config": settings, "epoch": 41, "model_val": [1.0], "state_dict": weights}
    else:
        content = {"model": weights, "model_cfg": settings, "epoch": 41}
    torch.save(content, tmp_path / "official.ckpt")
    video, text = (weights[f"{side}.net.1.weight"].shape[1] for side in case.sides)
    spec = FeatureSpec(name="authors' features", revision="0", video_width=video, text_width=text)
    data = cast(DataFolder, SimpleNamespace(spec=spec, reported="test"))
    recipe = load_recipe(named(case.recipe)).with_settings(case.settings)
    import_run(tmp_path / "official.ckpt", recipe, data, tmp_path / "run")
    case.check(open_run(tmp_path / "run").model, file)
