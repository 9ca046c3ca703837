"""Folders of real video to answers, through the same doors that people use."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from prvr import Library, PrvrError, SearchEngine
from prvr.core.errors import IndexFolderError, QueryError, VideoError
from prvr.features.store import FeatureStore
from prvr.index.exact import ExactIndex
from prvr.ranker.ranker import zero_shot
from prvr.search import engine as engine_module
from prvr.search import indexing
from prvr.search.calibration import Calibrated
from prvr.search.choosing import Chosen
from prvr.search.indexing import build_index
from prvr.search.sentences import check_query
from prvr.video.probe import probe
from tests.features.make import ColourEncoder
from tests.features.test_extract import paint


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    root = tmp_path / "videos"
    paint(root / "sky.mp4", "blue", "blue", "green", "blue", "blue")
    paint(root / "fire.mp4", "red", "red", "red")
    paint(root / "both.mp4", "red", "blue", "blue", "blue", "red", "blue", "blue")
    return root


@pytest.fixture
def colour(monkeypatch: pytest.MonkeyPatch) -> Callable[[ColourEncoder], None]:
    """Whatever encoder is asked for, this one is brought; it reads real frames and real words."""

    def bring(encoder: ColourEncoder) -> None:
        def load(name: str, **_: object) -> ColourEncoder:
            return encoder

        monkeypatch.setattr("prvr.search.library.choose_encoder", lambda *_: Chosen("colour"))
        monkeypatch.setattr("prvr.search.library.load_encoder", load)
        monkeypatch.setattr(engine_module, "load_encoder", load)

    bring(ColourEncoder())
    return bring


def added_by(lib: Library) -> list[str]:
    done = lib.index().last
    assert done is not None
    return sorted(done.added)


def score_of(lib: Library, query: str, name: str) -> float:
    return next(hit.score for hit in lib.search(query, k=99) if hit.video_id == name)


@pytest.mark.usefixtures("colour")
def test_the_five_lines(videos: Path, tmp_path: Path) -> None:
    lib = Library(videos).index()
    hits = lib.search("green", k=5)
    assert next(Path(hit.video).name for hit in hits) == "sky.mp4"
    assert len(hits) == 3
    best = hits[0]
    assert [best.start, best.end] == pytest.approx([2, 3], abs=0.05)
    assert best.score == pytest.approx(1, abs=0.01)
    assert best.confidence == "not calibrated"
    saved = best.export(tmp_path / "green.mp4")
    assert probe(saved).duration_s == pytest.approx(1, abs=0.25)


@pytest.mark.usefixtures("colour")
def test_several_moments_best_first_and_inside_the_video(videos: Path) -> None:
    hits = Library(videos).index().search("red", k=2)
    both = next(hit for hit in hits if hit.video.endswith("both.mp4"))
    assert [round(start) for start, _ in sorted(both.moments)] == [0, 4]
    assert all(0 <= start < end <= both.duration_s for hit in hits for start, end in hit.moments)


@pytest.mark.usefixtures("colour")
def test_order_negatives_filters_and_pictures_of_a_folder(videos: Path, tmp_path: Path) -> None:
    lib = Library(videos).index()
    (best, *_) = lib.search("green then blue", k=3)
    assert best.video.endswith("sky.mp4")
    assert best.steps == ((2.0, 3.0), (3.0, 5.0))
    assert not lib.search("blue then green then red", k=3)[0].video.endswith("fire.mp4")
    assert lib.search("blue -red", k=1)[0].score == pytest.approx(1, abs=0.02)
    assert [Path(hit.video).name for hit in lib.search("blue path:fire")] == ["fire.mp4"]
    assert [Path(hit.video).name for hit in lib.search("blue longer:6s")] == ["both.mp4"]
    assert {hit.video_id for hit in lib.search_image(videos / "fire.mp4", k=2)} == {"both.mp4", "fire.mp4"}
    assert lib.search_like(lib.search("green", k=1)[0], (0.0, 1.0), k=1)[0].video.endswith("both.mp4"), "blue as well"


@pytest.mark.usefixtures("colour")
def test_subtitles_beside_a_video_and_its_name_are_searched(videos: Path) -> None:
    said = "1\n00:00:01,000 --> 00:00:02,500\nWelcome to the Zugspitze\n"
    (videos / "fire.en.srt").write_text(said, encoding="utf-8")
    lib = Library(videos).index()
    hit = lib.search("Zugspitze", k=1)[0]
    assert hit.video.endswith("fire.mp4")
    assert hit.moments[0] == (1.0, 2.5)
    assert hit.quote == "Welcome to the Zugspitze"
    assert not any(hit.quote for hit in lib.search("Zugspitze", k=3, words=False))
    assert lib.search("both", k=1)[0].video.endswith("both.mp4")
    (videos / "fire.en.srt").write_text(said.replace("Zugspitze", "Watzmann"), encoding="utf-8")
    assert added_by(lib) == ["fire.mp4"], "other subtitles are other words"
    assert lib.search("Watzmann", k=1)[0].quote == "Welcome to the Watzmann"


@pytest.mark.usefixtures("colour")
def test_a_hit_is_exported_in_every_form(videos: Path, tmp_path: Path) -> None:
    lib = Library(videos).index()
    hit = lib.search("red path:both", k=1)[0]
    assert lib.export(lib.search("red", k=3), tmp_path / "all.edl").read_text().count("FROM CLIP NAME") >= 3
    for name in ("x.csv", "x.json", "x.edl", "x.otio", "x.vtt", "x.mp4", "x.webm"):
        assert hit.export(tmp_path / name, before_s=0.5).stat().st_size > 0
    assert (tmp_path / "x.vtt").read_text().count("-->") == len(hit.moments) == 2


@pytest.mark.usefixtures("colour")
def test_indexing_again_adds_only_what_is_new_or_changed(videos: Path) -> None:
    lib = Library(videos)
    assert len(added_by(lib)) == 3
    assert added_by(lib) == []
    paint(videos / "new.mp4", "green", "green")
    paint(videos / "fire.mp4", "blue", "blue")
    assert added_by(lib) == ["fire.mp4", "new.mp4"]
    assert lib.search("green", k=1)[0].video.endswith("new.mp4")
    assert score_of(lib, "red", "fire.mp4") == pytest.approx(0, abs=0.05)


@pytest.mark.usefixtures("colour")
def test_nothing_is_opened_or_read_twice(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lib, done = Library(videos), Counter[str]()

    def counted(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def call(*args: object, **kwargs: object) -> object:
            done[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    for name in ("make_index", "header_of", "zero_shot"):
        counted(indexing, name)
    counted(engine_module, "model_of")
    counted(FeatureStore, "entry")
    assert len(added_by(lib)) == 3
    assert lib.last is not None
    assert lib.last.calibrated == Calibrated(0, 3, enough=False)
    assert done == {"make_index": 1, "header_of": 1, "zero_shot": 1, "entry": 3}
    assert added_by(lib) == []
    assert done == {"make_index": 2, "header_of": 2, "zero_shot": 2, "entry": 6}


@pytest.mark.usefixtures("colour")
def test_killed_between_features_and_vectors_the_next_run_completes(
    videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lib = Library(videos).index()
    paint(videos / "fire.mp4", "green", "green")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(indexing, "refresh", killed)
        with pytest.raises(KeyboardInterrupt):
            lib.index()
    assert score_of(lib, "red", "fire.mp4") == pytest.approx(1, abs=0.01), "the old index still answers"
    assert added_by(lib) == ["fire.mp4"]
    assert score_of(lib, "red", "fire.mp4") == pytest.approx(0, abs=0.05)


def test_another_encoder_is_refused_with_the_way_out(videos: Path, colour: Callable[[ColourEncoder], None]) -> None:
    Library(videos).index()
    colour(ColourEncoder(revision="2" * 12))
    with pytest.raises(IndexFolderError, match=r"was made with encoder colour@1+, not colour@2+"):
        Library(videos).search("red")
    with pytest.raises(
        IndexFolderError, match=r"was made with encoder colour@1+ and model zero-shot, not with colour@2+"
    ):
        Library(videos).index()
    colour(ColourEncoder())
    assert Library(videos).search("red", k=1)


@pytest.mark.usefixtures("colour")
def test_an_index_answers_the_same_wherever_it_lies(videos: Path, tmp_path: Path) -> None:
    first = Library(videos, index=tmp_path / "index").index().search("green blue", k=3)
    shutil.move(tmp_path / "index", tmp_path / "moved")
    again = SearchEngine.open(tmp_path / "moved").search("green blue", k=3)
    assert [(hit.video_id, hit.score, hit.moments) for hit in first] == [
        (hit.video_id, hit.score, hit.moments) for hit in again
    ]


@pytest.mark.usefixtures("colour")
def test_a_video_that_is_gone_is_named_when_it_is_wanted(videos: Path, tmp_path: Path) -> None:
    lib = Library(videos).index()
    (videos / "sky.mp4").unlink()
    with pytest.raises(VideoError, match=r"sky.mp4: is not there any more"):
        lib.search("green", k=1)[0].export(tmp_path / "x.mp4")
    (tmp_path / "new").mkdir()
    with pytest.raises(IndexFolderError, match="nothing is indexed yet"):
        Library(tmp_path / "new").search("red")


def test_a_slip_in_the_path_makes_no_library(tmp_path: Path, videos: Path) -> None:
    with pytest.raises(VideoError, match=r"vidoes: no such file or folder"):
        Library(tmp_path / "vidoes")
    with pytest.raises(VideoError, match="no such file"):
        Library(tmp_path / "vidoes", index=Library(videos).index().folder).index()  # an index of others to search in
    assert not (tmp_path / "vidoes").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="no video could be read there; give a folder that holds video files"):
        Library(tmp_path / "empty").index()


def test_scores_of_an_index_are_those_of_the_features(videos: Path, tmp_path: Path) -> None:
    """What was extracted offline and what is indexed rank alike: max over frames of the cosine."""
    encoder = ColourEncoder()
    done = build_index([videos], tmp_path / "index", encoder)
    query = encoder.encode_texts(["red blue"]).sentence[0]
    engine = SearchEngine(ExactIndex.open(tmp_path / "index"), tmp_path / "index", encoder, zero_shot(encoder.spec))
    for hit in engine.search("red blue", k=9):
        frames = done.extraction.store.read(hit.video_id).features
        want = torch.cosine_similarity(frames, query[None]).max()
        assert hit.score == pytest.approx(float(want), abs=1e-5)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "holds no word"),
        ("  \n ", "holds no word"),
        ("?!…", "holds no word"),
        ("word " * 10_000, "has 10,000 words, but encoder 'colour' reads 16"),
        ("broken \udcff", "is not readable text"),
        (b"bytes", "expected a sentence, found bytes"),
        (None, "expected a sentence, found NoneType"),
    ],
)
def test_what_is_no_sentence_is_refused(query: object, says: str) -> None:
    with pytest.raises(QueryError, match=says) as caught:
        check_query(query, ColourEncoder())
    assert isinstance(caught.value, PrvrError)
    assert "\n" not in str(caught.value)
