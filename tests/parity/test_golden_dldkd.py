"""DL-DKD and DL-DKD++ against the authors' own numbers: reference arrays dldkd_iccv and dldkdpp.

Sizes and settings come from the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.types import Batch, Made, QueryBatch, Teacher, VideoTokens
from prvr.core.vectors import unit_rows
from prvr.evaluation.scoring import score_tokens
from prvr.methods.dldkd import loss as dldkd
from prvr.methods.dldkd.distillation import frame_distillation, soft_nce
from prvr.methods.dldkd.network import DLDKD, BranchQueries, DLDKDConfig
from prvr.methods.dldkd.official import OFFICIAL, OFFICIAL_PLUS
from prvr.methods.official import Official
from prvr.parts.nce import query_nce, video_nce
from prvr.parts.objective import Objective
from prvr.parts.sampling import at_most
from prvr.parts.scoring import best_cosine, best_token, own_cosines
from prvr.parts.uniform import UniformConfig, prepare_frames
from prvr.parts.videos import FrameVideos
from tests.parity.arrays import Arrays, close
from tests.parity.retrieval import FullSize, check_loss, check_triplet, file_order, full_sizes, in_double, pieces
from tests.parts.make import video_features

DOT = 5e-5  # absolute tolerance of dot products, as the arrays' description has it


@dataclass(frozen=True)
class Case:
    """One of the two systems."""

    file: Arrays
    model: DLDKD
    batch: Batch[FrameVideos]  # with the teacher's frames and sentences
    teacher: Teacher
    plus: bool
    official: Official


@pytest.fixture(scope="module", params=["dldkd_iccv", "dldkdpp"])
def case(request: pytest.FixtureRequest, golden: Path) -> Case:
    file, plus = Arrays(golden / "dldkd" / f"{request.param}.npz"), request.param == "dldkdpp"
    official = OFFICIAL_PLUS if plus else OFFICIAL
    said = file.settings()
    config = DLDKDConfig(
        video_width=said["visual"],
        text_width=said["query"],
        hidden=said["hidden"],
        heads=said["heads"],
        max_words=said["max_desc_l"],
        frames=said["max_ctx_l"],
        input_dropout=0.0,
        dropout=0.0,
        clip_weight=float(said["inference"].split()[3]),  # such as `0.7 I + 0.3 E`
        shared_words=not plus,
    )
    model = DLDKD(config).eval()
    model.load_state_dict(official.read(file.below("sd/")))
    teacher = Teacher(frames=file["batch/teacher_videos"], sentence=file["batch/teacher_text"])
    return Case(file, model, replace(read_batch(file), teacher=teacher), teacher, plus, official)


def read_batch(file: Arrays) -> Batch[FrameVideos]:
    frames, there = file["batch/student_videos"], file["batch/student_videos_mask"] > 0
    words, valid = file["batch/student_text"], file["batch/student_text_mask"] > 0
    return Batch(
        videos=FrameVideos(frames=frames, frame_valid=there, frame_spans=torch.zeros(*frames.shape[:2], 2)),
        queries=QueryBatch(words=words, valid=valid, sentence=words[:, 0]),
        video_of_query=file["batch/text_labels"],
    )


def test_raw_features_become_their_batch(case: Case) -> None:
    file, batch, longest = case.file, case.batch, case.batch.videos.frames.shape[1]
    config = UniformConfig(frames=case.model.config.frames)
    raw = [video_features(x) for x in pieces(file, "frames", "frame_lengths")]
    order = file["batch/video_order"].tolist()
    made = prepare_frames([raw[v] for v in order], config)
    close(made.frames[:, :longest], batch.videos.frames)
    assert torch.equal(made.frame_valid[:, :longest], batch.videos.frame_valid)
    teacher = pieces(file, "teacher_frames", "frame_lengths")
    for row, v in enumerate(order):
        frames = at_most(teacher[v], config.frames)
        close(case.teacher.frames[row, : len(frames)], frames)
    words, (place, _) = pieces(file, "tokens", "token_lengths"), file_order(file)
    close(case.teacher.sentence[place], file["raw/teacher_text"])
    for query, tokens in zip(place.tolist(), words, strict=True):
        kept = unit_rows(tokens)[: case.model.config.max_words]
        close(batch.queries.words[query, : len(kept)], kept)


def test_outputs_and_scores(case: Case) -> None:
    file, batch = case.file, case.batch
    made, valid = case.model.embed(batch), batch.videos.frame_valid
    close(made.queries.inherit, file["out/query_I"])
    close(made.queries.explore, file["out/query_E"])
    close(made.videos.frames[valid], file["out/video_I"][valid])
    close(made.videos.clips[valid], file["out/video_E"][valid])
    seen = dldkd.objective(settings_of(case)).see(made, batch, 0)
    close(seen.cosine.frame, file["train/S_I"])
    close(seen.cosine.clip, file["train/S_E"])
    close(seen.dot.frame, file["train/s_I"], atol=DOT)
    close(seen.dot.clip, file["train/s_E"], atol=DOT)
    close(best_cosine(case.teacher.sentence, case.teacher.frames, valid)[0], file["train/S_T"])
    close(best_token(case.teacher.sentence, case.teacher.frames, valid)[0], file["train/s_T"], atol=DOT)
    pairs = {"c_I": (made.queries.inherit, made.videos.frames), "c_T": (case.teacher.sentence, case.teacher.frames)}
    for name, (query, frames) in pairs.items():
        found = torch.einsum("qd,vtd->qtv", F.normalize(query, dim=-1), F.normalize(frames, dim=-1))
        close(found.where(valid.T, -1e10), file[f"train/{name}"])
        own = file[f"train/{name}"].gather(2, batch.video_of_query[:, None, None].expand(-1, valid.shape[1], 1))[..., 0]
        there = valid[batch.video_of_query]
        close(own_cosines(query, frames, batch.video_of_query)[there], own[there])


def test_scores_of_retrieval(case: Case) -> None:
    """By the evaluation that everybody uses; √2 is what two vectors in one cost."""
    file, model, batch = case.file, case.model, case.batch
    query, tokens = model.encode_queries(batch.queries), model.encode_videos(batch.videos)
    queries, videos = file_order(file)
    scores = score_tokens(query, [tokens])
    close(scores.frame[queries][:, videos] * 2**0.5, file["eval/S_I"])
    close(scores.clip[queries][:, videos] * 2**0.5, file["eval/S_E"])
    close(scores.fused(model.clip_weight)[queries][:, videos] * 2**0.5, file["eval/fused"])


def test_single_losses(case: Case) -> None:
    file, own, margin = case.file, case.batch.video_of_query, case.file.settings()["margin"]

    def nce(scores: Tensor) -> Tensor:
        return query_nce(scores, own).mean() + video_nce(scores, own).mean()

    for branch in ("I", "E"):
        check_loss(file, f"nce_{branch}", file[f"train/s_{branch}"], nce)
        check_triplet(file, f"trip_{branch}", file[f"train/S_{branch}"], own, margin)


def test_distillation_alone(case: Case) -> None:
    file, own = case.file, case.batch.video_of_query
    student = file["train/c_I"].double().requires_grad_()
    place = own[:, None, None].expand(-1, student.shape[1], 1)
    ours, theirs = (x.gather(2, place).squeeze(2) for x in (student, file["train/c_T"].double()))
    valid = case.batch.videos.frame_valid[own]
    loss = frame_distillation(ours, theirs, valid, temperature=file.settings()["tau"]).sum()
    close(loss, file["loss/kd_f64"])
    close(torch.autograd.grad(loss, student)[0], file["grad/kd"])


def test_soft_labels_alone(case: Case) -> None:
    if not case.plus:
        assert "soft/alpha_beta_f64" not in case.file
        return
    file, own = case.file, case.batch.video_of_query

    def check(name: str, branch: str, loss: Callable[[Tensor], Tensor], *, gradient: str) -> None:
        scores = file[f"train/s_{branch}"].clone().requires_grad_()
        value = loss(scores)
        close(value, file[f"loss/{name}"])
        close(torch.autograd.grad(value, scores)[0], file[f"grad/{gradient}"])

    for k, (share, trust) in enumerate(file["soft/alpha_beta_f64"].tolist()):

        def loss(x: Tensor, targets: Tensor, a: float = share, b: float = trust) -> Tensor:
            return soft_nce(x, targets, own, share=a, trust=b)

        teacher, case_k = file["train/s_T"], f"case{k}"
        check(f"soft_I_{case_k}", "I", lambda x, t=teacher, f=loss: f(x, t), gradient=f"soft_I_{case_k}")  # type: ignore[misc]
        check(f"soft_E_{case_k}", "E", lambda x, f=loss: f(x, x), gradient=f"soft_E_{case_k}")  # type: ignore[misc]
        check(f"soft_E_{case_k}", "E", lambda x, f=loss: f(x, x.detach()), gradient=f"soft_E_detached_{case_k}")  # type: ignore[misc]


def settings_of(case: Case, labels: Literal["hard", "soft"] = "hard") -> dldkd.Settings:
    """The hardest negatives alone, so that nothing is drawn."""
    said = case.file.settings()
    loss = dldkd.DLDKDLoss(
        nce_clip=said["nce_weight"],
        nce_frame=said["nce_weight"],
        margin=said["margin"],
        hard_pool=1,
        distill=said["kd_weight"],
        temperature=said["tau"],
        labels=labels,
    )
    return dldkd.Settings(model=case.model.config, prepare=UniformConfig(frames=case.model.config.frames), loss=loss)


def test_total_loss_and_gradients(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients in float64, as the reference was."""
    file, batch, epoch = case.file, case.batch, case.file.settings()["kd_epoch"]
    totals: dict[Literal["hard", "soft"], str] = {"hard": "total_hard/", "soft": "total_soft/"}
    if not case.plus:
        totals = {"hard": "total/"}
    if case.plus:  # the reference's soft labels are of no epoch
        said_fade = re.search(r"alpha ([\d.]+), beta ([\d.]+)", file.meaning("total_soft/loss_overall"))
        assert said_fade
        share, trust = float(said_fade[1]), float(said_fade[2])
        monkeypatch.setattr(dldkd, "soft_label_fade", lambda _: (share, trust))
    names = ("explore_trip", "explore_nce", "inher_trip", "inher_nce", "kl") if case.plus else None
    for labels, where in totals.items():
        learned = dldkd.objective(settings_of(case, labels))
        total, parts = learned(case.model.embed(batch), batch, epoch)
        close(total, file[f"{where}loss_overall"])
        if names:
            ours = ("triplet_clip", "nce_clip", "triplet_frame", "nce_frame", "distill")
            for name, theirs in zip(ours, names, strict=True):
                close(learned.weights[name] * parts[name], file[f"{where}{theirs}"])
            close(file[f"{where}kl_intra"], file[f"{where}kl"])  # one term under two names
        check_gradients(case, learned, where)


def check_gradients(
    case: Case, learned: Objective[Made[BranchQueries, VideoTokens], dldkd.DLDKDSeen], where: str
) -> None:
    file, (wide, given) = case.file, in_double(case.model, case.batch)
    total, _ = learned(wide.embed(given), given, file.settings()["kd_epoch"])
    close(total, file[f"{where}loss_f64"])
    torch.autograd.backward(total)
    gradients = {name: p.grad for name, p in wide.named_parameters() if p.grad is not None}
    found = case.official.write(gradients)
    want = file.below(where.replace("total", "pgrad"))
    for name, gradient in want.items():
        if name in found:
            close(found[name], gradient)
        else:
            assert not gradient.any(), name  # of a projection that nothing reads
    assert found.keys() <= want.keys()


def test_terms_have_their_official_values(case: Case) -> None:
    """DL-DKD's own names of its terms, of which nothing says which branch is which: as a set."""
    if case.plus:
        return
    file, batch = case.file, case.batch
    learned = dldkd.objective(settings_of(case))
    _, parts = learned(case.model.embed(batch), batch, file.settings()["kd_epoch"])
    ours = torch.stack([learned.weights[name] * part for name, part in parts.items()]).sort().values
    theirs = [file[n] for n in file if n.startswith("total/") and n not in ("total/loss_overall", "total/loss_f64")]
    close(ours, torch.stack(theirs).sort().values)


@pytest.mark.parametrize("system", ["dldkd_iccv", "dldkdpp"])
def test_parameters_of_full_size(golden: Path, system: str) -> None:
    """DL-DKD's second text projection, which nothing reads, is not counted with ours, and makes up the difference."""
    file, plus = Arrays(golden / "common" / "param_counts.npz"), system == "dldkdpp"
    official = OFFICIAL_PLUS if plus else OFFICIAL

    def make(size: FullSize) -> DLDKD:
        config = DLDKDConfig(
            video_width=size.video,
            text_width=size.text,
            hidden=size.hidden,
            heads=file.settings()["heads"],
            shared_words=not plus,
        )
        with torch.device("meta"):
            return DLDKD(config)

    for size in full_sizes(file, system):
        unread = 0 if plus or size.used else linear_and_norm(size.text, size.hidden)
        assert sum(p.numel() for p in make(size).parameters()) + unread == int(file.number(size.name)), size.name
    for size in full_sizes(file, system, "shapes_"):
        shapes = json.loads(str(file.arrays[size.name]))
        read = {name: shape for name, shape in shapes.items() if not name.startswith("A_query_input_proj.")}
        assert (len(read) == len(shapes)) == plus
        state = official.write(make(size).state_dict())
        assert {name: list(x.shape) for name, x in state.items()} == read


def linear_and_norm(width: int, hidden: int) -> int:
    """Parameters of a linear layer and of the norm in front of it."""
    return width * hidden + hidden + 2 * width
