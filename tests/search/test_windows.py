"""Indexes of encoders that read windows of frames, alone and beside one that reads frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prvr import Library
from prvr.cli import main
from prvr.core.errors import ConfigError, EncoderError, IndexFolderError
from prvr.encoders.loading import load_encoder
from prvr.features.store import FeatureStore
from prvr.index.opening import header_of, open_index
from prvr.search.engine import SearchEngine
from prvr.search.indexing import build_index, repair
from prvr.search.replacing import replace_index
from tests.encoders.make_models import make_clip, make_xclip

SENTENCE = "a red circle bounces"


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("frames"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_xclip(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def videos(world: Path, tmp_path: Path) -> Path:
    """Three of the world's videos."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for file in sorted((world / "videos").iterdir())[:3]:
        (folder / file.name).symlink_to(file)
    return folder


def cosines(rows: torch.Tensor, sentence: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cosine_similarity(rows, sentence[None])


def test_alone_the_best_window_is_the_answer(clips: Path, videos: Path, tmp_path: Path) -> None:
    index, encoder = tmp_path / "index", load_encoder(str(clips), device="cpu")
    assert encoder.spec.clips
    build_index([videos], index, encoder)
    engine = SearchEngine.open(index, device="cpu")
    hits = {hit.video_id: hit for hit in engine.search(SENTENCE, words=False)}
    store, sentence = FeatureStore.open(index / "features"), encoder.encode_texts([SENTENCE]).sentence[0]
    assert len(hits) == 3
    for video_id, hit in hits.items():
        video = store.read(video_id)
        assert video.clips
        assert hit.score == pytest.approx(float(cosines(video.clips.features, sentence).max()), abs=2e-3)  # fp16
        assert 0 <= hit.start < hit.end <= hit.duration_s
        assert float(video.clips.spans[-1, 1]) == pytest.approx(video.duration_s, abs=1e-3)
    with open_index(index) as opened:
        assert opened.header.clip_weight == 1.0
        bank = opened.candidate(torch.zeros(opened.header.width), next(iter(hits))).bank
        assert bank.num_frames == 0


def test_beside_frames_scores_are_fused(frames: Path, clips: Path, videos: Path, tmp_path: Path) -> None:
    """Each branch is compared by its own encoder's sentence; the weight can be set, and is kept."""
    index, name = tmp_path / "index", f"{frames} + {clips}"
    words = ["index", str(videos), "--index", str(index), "--encoder", str(frames), "--clip-encoder", str(clips)]
    assert main([*words, "--clip-weight", "0.3"]) == 0
    lib = Library(videos, index=index, clip_encoder=str(clips), device="cpu")  # of frames, the one of the index
    assert lib.index().last.added == ()  # type: ignore[union-attr]
    encoder = load_encoder(name, device="cpu")
    engine = SearchEngine.open(index, device="cpu")
    store = FeatureStore.open(index / "features")
    one, other = (load_encoder(str(path), device="cpu") for path in (frames, clips))
    sentence = one.encode_texts([SENTENCE]).sentence[0], other.encode_texts([SENTENCE]).sentence[0]
    for hit in engine.search(SENTENCE, words=False):
        video = store.read(hit.video_id)
        assert video.clips
        assert video.features.shape[1] == one.spec.width
        best = (cosines(x, s).max() for x, s in zip((video.features, video.clips.features), sentence, strict=True))
        frame, clip = (float(score) / 2**0.5 for score in best)
        assert hit.score == pytest.approx(0.7 * frame + 0.3 * clip, abs=2e-3)
    assert build_index([videos], index, encoder).added == ()  # the weight is that of the index
    assert header_of(index).clip_weight == 0.3  # type: ignore[union-attr]
    with pytest.raises(IndexFolderError, match="made otherwise; add --replace"):
        build_index([videos], index, encoder, clip_weight=0.6)
    assert repair(index) == ([], [])
    done = replace_index([videos], index, encoder, clip_weight=0.6)
    assert done.extraction.made == ()  # nothing is read twice
    assert header_of(index).clip_weight == 0.6  # type: ignore[union-attr]
    picture = sorted(videos.iterdir())[0]
    seen = SearchEngine.open(index, device="cpu").search_image(picture, k=1)[0]
    assert seen.video == str(picture.resolve())


def test_weights_and_encoders_that_do_not_fit_say_so(frames: Path, clips: Path, videos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--clip-weight 1.5: must be between 0"):
        build_index([videos], tmp_path / "a", load_encoder(f"{frames} + {clips}", device="cpu"), clip_weight=1.5)
    with pytest.raises(ConfigError, match="--clip-weight: weighs frames against windows"):
        build_index([videos], tmp_path / "a", load_encoder(str(clips), device="cpu"), clip_weight=0.5)
    with pytest.raises(EncoderError, match="reads windows of frames; give it as --clip-encoder"):
        load_encoder(f"{clips} + {frames}", device="cpu")
    assert not (tmp_path / "a").exists()
