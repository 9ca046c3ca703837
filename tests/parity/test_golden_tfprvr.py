"""TF-PRVR against what its official code computed (reference arrays tfprvr), step by step and as one run over a corpus.

Tolerances are those of the arrays' description: whole numbers exactly, floats to 1e-9, scores in float32 to 2e-5. Cuts
of cases that are not `robust` hang on rounding; that they agree too is luck, and is not asked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.types import QueryBatch, VideoFeatures
from prvr.evaluation.metrics import Recalls, ranks
from prvr.methods.tfprvr.moment_graph import affinity, moments_of, segment_vectors, segments_of, smooth_by_graph
from prvr.methods.tfprvr.network import LONGEST, TFPRVR, MomentConfig, find_moments, prepare_moments
from prvr.methods.tfprvr.trajectory import cut_strength, levels_of, turning
from prvr.methods.tfprvr.wavelets import Wavelet, bands, depth_of
from prvr.parts.scoring import cosine_scores
from prvr.parts.videos import FrameVideos
from tests.parity.arrays import Arrays
from tests.parts.make import video_features


@dataclass(frozen=True)
class Case:
    """One video of the file."""

    file: Arrays
    name: str

    def __getitem__(self, key: str) -> Tensor:
        return self.file[f"{self.name}/{key}"]

    @property
    def wavelet(self) -> Wavelet:
        return str(self.file.arrays[f"{self.name}/wavelet"])  # type: ignore[return-value]

    @property
    def beta(self) -> float:
        return self.file.number(f"{self.name}/beta")

    @property
    def frames(self) -> Tensor:
        unit = F.normalize(self["frames"].double(), dim=1)
        return F.pad(unit, (0, 0, 0, max(3 - len(unit), 0)))[None]

    @property
    def lengths(self) -> Tensor:
        return torch.tensor([len(self["frames"])])


@pytest.fixture(scope="module")
def file(golden: Path) -> Arrays:
    return Arrays(golden / "tfprvr" / "tfprvr.npz")


@pytest.fixture(scope="module")
def cases(file: Arrays) -> list[Case]:
    return [Case(file, case["name"]) for case in json.loads(str(file.arrays["cases_json"]))]


def near(got: Tensor, want: Tensor, why: str) -> None:
    torch.testing.assert_close(got, want, rtol=0, atol=1e-9, msg=lambda text: f"{why}: {text}")


def test_paths_bands_and_cuts(cases: list[Case]) -> None:
    for case in cases:
        signal = turning(case.frames, case.lengths)
        samples = case["signal"].shape[0]
        near(signal[0, :samples], case["signal"], case.name)
        depth = int(case["dwt_levels"])
        assert int(depth_of(torch.tensor([samples]), case.wavelet)) == depth, case.name
        assert int(levels_of(case.lengths, case.wavelet)) == int(case["hierarchy_levels"])
        made = bands(signal, torch.tensor([samples]), case.wavelet)[0].abs()
        strength = cut_strength(signal, case.lengths, wavelet=case.wavelet)[0]
        for level in range(depth):
            near(made[level], case[f"response_{level + 1}"], case.name)
            if bool(case["robust"]):
                assert torch.equal(strength[level].nonzero().squeeze(1), case[f"cuts_{level + 1}"]), case.name


def test_segments_their_graph_and_what_it_smooths(cases: list[Case]) -> None:
    """From the official cuts, so that cases that hang on rounding count as well."""
    for case in cases:
        levels = int(case["hierarchy_levels"])
        cut = torch.zeros(1, levels, case.frames.shape[1], dtype=torch.bool)
        for level in range(int(case["dwt_levels"])):
            cut[0, level, case[f"cuts_{level + 1}"]] = True
        segments = segments_of(cut, case.lengths, torch.tensor([levels]))
        assert torch.equal(segments.span[0], case["spans"]), case.name
        assert torch.equal(segments.opens[0].sum(1), case["offsets"].diff()), case.name
        vectors = segment_vectors(case.frames, segments)
        near(vectors[0], case["segment_features"], case.name)
        graph = affinity(vectors, segments, case.lengths)
        near(graph[0], case["graph"], case.name)
        smoothed = smooth_by_graph(vectors, graph, beta=case.beta)
        near(smoothed[0], case["propagated"], case.name)
        kernel = smooth_by_graph(torch.eye(graph.shape[1]).double()[None], graph, beta=case.beta)[0]
        near(kernel.diag(), case["kernel_diag"], case.name)
        near(kernel.sum(1), case["kernel_rowsum"], case.name)
        queries = F.normalize(case["queries"].double(), dim=1)
        near(queries @ vectors[0].T, case["initial_scores"], case.name)
        near(queries @ smoothed[0].T, case["smoothed_scores"], case.name)
        moments = moments_of(smoothed, segments, case.lengths)
        assert moments.valid.all(), case.name
        assert torch.equal(moments.span[0], case["moment_spans"]), case.name
        near(moments.vectors[0], case["moments"], case.name)
        consensus = queries @ moments.vectors[0].T
        near(consensus, case["consensus"], case.name)
        near(consensus.gather(1, case["argmax_moment"][:, None])[:, 0], case["scores"], case.name)
        near(consensus.amax(1), case["scores"], case.name)


def test_moments_and_scores(cases: list[Case]) -> None:
    """All cases in one call, the short ones padded to the long, group by group of equal width and settings."""
    groups: dict[tuple[int, Wavelet, float], list[Case]] = {}
    for case in cases:
        if bool(case["robust"]):
            groups.setdefault((case.frames.shape[2], case.wavelet, case.beta), []).append(case)
    assert max(map(len, groups.values())) > 3
    for (_, wavelet, beta), members in groups.items():
        longest = max(case.frames.shape[1] for case in members)
        frames = torch.cat([F.pad(case.frames, (0, 0, 0, longest - case.frames.shape[1])) for case in members])
        lengths = torch.cat([case.lengths for case in members])
        found = find_moments(frames, lengths, MomentConfig(wavelet=wavelet, beta=beta))
        for case, vectors, span, valid in zip(members, *found, strict=True):
            assert torch.equal(span[valid], case["moment_spans"]), case.name
            near(vectors[valid], case["moments"], case.name)
            consensus = F.normalize(case["queries"].double(), dim=1) @ vectors[valid].T
            near(consensus, case["consensus"], case.name)
            near(consensus.amax(1), case["scores"], case.name)
            if len(case["frames"]) > 2:  # of a video of one moment all is a tie
                assert torch.equal(consensus.argmax(1), case["argmax_moment"]), case.name


def corpus(file: Arrays) -> tuple[list[VideoFeatures], QueryBatch]:
    parts = torch.split(file["corpus/frames"], file["corpus/lengths"].tolist())
    sentence = file["corpus/queries"]
    valid = torch.ones(len(sentence), 1, dtype=torch.bool)
    return [video_features(x) for x in parts], QueryBatch(words=sentence[:, None], valid=valid, sentence=sentence)


def scores_of(videos: FrameVideos, queries: QueryBatch) -> Tensor:
    model = TFPRVR()
    return cosine_scores(model.encode_queries(queries), model.encode_videos(videos)).fused(model.clip_weight)


def test_a_whole_run(file: Arrays) -> None:
    """Cosines of lifted vectors rank as inner products do, and are them but for a constant."""
    videos, queries = corpus(file)
    made = prepare_moments(videos, MomentConfig())
    assert torch.equal(made.frame_valid.sum(1), file["corpus/moments_per_video"])
    scores = scores_of(made, queries) * LONGEST
    ids = file.arrays["corpus/video_ids"].tolist()
    column = torch.tensor([[ids.index(name) for name in row] for row in file.arrays["corpus/ranking"].tolist()])
    want = file["corpus/ranking_scores"]
    torch.testing.assert_close(scores.gather(1, column), want, rtol=0, atol=2e-5)
    by_id = torch.tensor(sorted(range(len(ids)), key=lambda v: ids[v]))
    gap = want.diff(dim=1).abs()
    close = ((gap > 0) & (gap < 2e-5)).any(1)  # copies of a video tie exactly, and then ids decide
    order = by_id[scores[:, by_id].argsort(dim=1, descending=True, stable=True)]
    assert torch.equal(order[~close], column[~close])
    assert int(close.sum()) < len(close) / 2
    place = order.argsort(1)  # of each video in its query's ranking
    targets = json.loads(str(file.arrays["corpus/targets_json"]))
    assert len(targets) == len(file.arrays["corpus/query_ids"])
    first = torch.stack([place[q, [ids.index(name) for name in names]].min() for q, names in enumerate(targets)]) + 1
    official = json.loads(str(file.arrays["corpus/metrics_json"]))
    found = Recalls.of(first).to_dict()
    assert {name: found[name] for name in official} == pytest.approx(official)


def test_levels_and_segments_of_a_whole_corpus(file: Arrays) -> None:
    wavelet = MomentConfig().wavelet
    lengths = file["corpus/lengths"]
    levels = levels_of(lengths, wavelet)
    assert torch.equal(levels, file["corpus/levels_per_video"])
    nodes = []
    for x, length, level in zip(torch.split(file["corpus/frames"], lengths.tolist()), lengths, levels, strict=True):
        frames = F.normalize(x.double(), dim=1)
        frames = F.pad(frames, (0, 0, 0, max(3 - len(frames), 0)))[None]
        strength = cut_strength(turning(frames, length[None]), length[None], wavelet=wavelet)
        nodes.append(int(segments_of(strength > 0, length[None], level[None]).valid.sum()))
    assert nodes == file["corpus/nodes_per_video"].tolist()


def test_means_of_levels_rank_almost_as_the_graph_does(file: Arrays) -> None:
    """The approximation whose cost grows with the length alone, on isotropic features, where it is at its worst."""
    videos, queries = corpus(file)
    targets = json.loads(str(file.arrays["corpus/targets_json"]))
    ids = file.arrays["corpus/video_ids"].tolist()
    single = torch.tensor([i for i, names in enumerate(targets) if len(names) == 1])
    truth = torch.tensor([ids.index(targets[int(i)][0]) for i in single])
    exact, quick = (
        scores_of(prepare_moments(videos, MomentConfig(smoothing=smoothing)), queries)
        for smoothing in ("graph", "levels")
    )
    joint = torch.corrcoef(torch.stack([exact.flatten(), quick.flatten()]))[0, 1]
    assert joint > 0.9
    sums = [Recalls.of(ranks(scores[single], truth)).to_dict()["SumR"] for scores in (exact, quick)]
    assert abs(sums[0] - sums[1]) < 25, sums


def test_plain_frames_score_as_the_file_says(cases: list[Case]) -> None:
    for case in cases:
        cosine = F.normalize(case["queries"].double(), dim=1) @ F.normalize(case["frames"].double(), dim=1).T
        near(cosine.amax(1), case["zero_shot_maxsim"], case.name)
