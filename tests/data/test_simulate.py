from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from prvr.core.errors import ConfigError, DataError
from prvr.core.types import Query, Span, TextFeatures
from prvr.data.annotations import write_queries
from prvr.data.benchmarks import Annotations, open_annotations
from prvr.data.check import check
from prvr.data.simulate import Scene, SimulateConfig, TextEncoder, hashed_words, simulate, simulate_video
from prvr.data.simulate.frames import covered
from prvr.data.simulate.texts import show, words_of
from prvr.features.packs import PackFolder, open_packs, read_words

SMALL = SimulateConfig(video_width=48, text_width=32, distractors=50)
PLAIN = replace(SMALL, legibility=1.0, style=0.0, drift=0.0, noise=0.0)

TEXTS = {
    "v_kitchen": ("A cook slices red onions.", "Someone washes the pan under hot water."),
    "v_street": ("Two cyclists overtake a tram.", "A painter sketches the old bridge.", "Rain floods the pavement."),
    "v_stage": ("The violinist tunes her instrument.",),
}


def annotated(root: Path, texts: dict[str, tuple[str, ...]] = TEXTS, *, source: str = "activitynet") -> Annotations:
    """Each sentence of a video of 100 s has 20 s of its own; nobody speaks of the rest."""
    queries = [
        Query(
            query_id=f"{video}#{i}", video_id=video, text=text, windows=((20.0 * i, 20.0 * i + 20),), duration_s=100.0
        )
        for video, sentences in texts.items()
        for i, text in enumerate(sentences)
    ]
    queries = [replace(query, source={"benchmark": source}) for query in queries]
    for split, part in (("train", queries[:-1]), ("val", queries[-1:])):
        if part:
            write_queries(root / "annotations" / f"{split}.jsonl", part)
    return open_annotations(root)


def made(root: Path, config: SimulateConfig, texts: dict[str, tuple[str, ...]] = TEXTS) -> PackFolder:
    done = simulate(annotated(root / "in", texts), root / "out", config=config)
    packs = open_packs(root / "out")
    assert packs is not None
    counts = len(packs.video), len(packs.text), sum(map(len, map(packs.video.read, packs.video.keys())))
    assert (done.videos, done.queries, done.frames) == counts
    return packs


def scene(config: SimulateConfig) -> Scene:
    encoder = hashed_words(32)
    pool = encoder.encode([f"word{i} thing{i}" for i in range(config.distractors)]).sentence
    return Scene.build(config, pool, video_width=48)


def test_a_pack_of_the_published_layout_is_read_back(tmp_path: Path) -> None:
    packs = made(tmp_path, SMALL)
    out = tmp_path / "out"
    assert packs.spec.simulated
    assert packs.spec.name == "simulated_activitynet_clip_L14"
    assert (packs.spec.video_width, packs.spec.text_width) == (48, 32)
    assert sorted(packs.video.keys()) == ["kitchen", "stage", "street"]  # as published: without v_
    video = packs.read_video("v_street", duration_s=100.0)
    assert video.features.shape == (50, 48)  # one every 2 s
    assert packs.read_video("v_street").times[1] == 2.0
    words = read_words(packs.text, "v_kitchen#0")
    assert words.shape == (6, 32)  # five words and the sentence
    assert check(out).ok
    assert check(out).checks[2].name == "simulated"
    assert open_annotations(out).queries("train") == open_annotations(tmp_path / "in").queries("train")
    lines = (out / "TextData" / "activitynettrain.caption.txt").read_text().splitlines()
    assert lines[0] == "v_kitchen#0 A cook slices red onions."
    card = json.loads((out / "simulated.json").read_text())
    assert card["simulated"] is True
    assert card["text_encoder"] == "hashed words (32)"
    assert card["config"] == {**SMALL.knobs}
    with h5py.File(packs.video.path) as file:
        assert "simulated" in file.attrs["note"]
        assert file["kitchen"].dtype == "float16"


def test_the_same_seed_gives_the_same_bytes_whatever_else_is_in_the_file(tmp_path: Path) -> None:
    first, again = made(tmp_path / "a", SMALL), made(tmp_path / "b", SMALL)
    turned = made(tmp_path / "c", SMALL, dict(reversed(TEXTS.items())))
    alone = made(tmp_path / "d", SMALL, {"v_street": TEXTS["v_street"]})
    other = made(tmp_path / "e", replace(SMALL, seed=1))
    for packs in (again, turned, alone):
        assert torch.equal(packs.read_video("v_street").features, first.read_video("v_street").features)
        assert torch.equal(read_words(packs.text, "v_street#1"), read_words(first.text, "v_street#1"))
    assert first.spec == again.spec
    assert not torch.allclose(other.read_video("v_street").features, first.read_video("v_street").features, atol=0.1)


def test_with_every_knob_at_zero_a_frame_is_its_sentence_under_the_map() -> None:
    built = scene(replace(PLAIN, distractors=0))
    shown = torch.eye(32)[:2]
    frames = simulate_video(built, "v", 10.0, shown, [((0.0, 4.0),), ((2.0, 6.0), (8.0, 10.0))])
    first, second = built.to_video[0], built.to_video[1]
    expected = [first, (first + second) / 2, second, torch.zeros(48), second]
    torch.testing.assert_close(frames, torch.stack(expected))
    torch.testing.assert_close(built.to_video.norm(dim=1).mean(), torch.tensor(1.0), atol=0.05, rtol=0)


def test_each_knob_adds_what_it_says() -> None:
    quiet = replace(PLAIN, distractors=0)
    plain = simulate_video(scene(quiet), "v", 400.0, torch.zeros(1, 32), [()])
    assert plain.abs().max() == 0
    styled = simulate_video(scene(replace(quiet, style=2.0)), "v", 400.0, torch.zeros(1, 32), [()])
    torch.testing.assert_close(styled, styled[:1].expand(200, -1))
    assert 1 < styled[0].norm() < 3
    noisy = simulate_video(scene(replace(quiet, noise=3.0)), "v", 400.0, torch.zeros(1, 32), [()])
    torch.testing.assert_close(noisy.norm(dim=1).mean(), torch.tensor(3.0), atol=0.2, rtol=0)
    assert abs(alike(noisy, 1)) < 0.1
    drifting = simulate_video(scene(replace(quiet, drift=1.0)), "v", 400.0, torch.zeros(1, 32), [()])
    assert alike(drifting, 1) > 0.95  # 2 s apart
    assert abs(alike(drifting, 20)) < 0.3  # 40 s apart: two knots of 20 s between them
    busy = simulate_video(scene(replace(PLAIN, scene_s=12.0)), "v", 4000.0, torch.zeros(1, 32), [()])
    held = 4000 / (1 + int((busy.diff(dim=0).abs().amax(1) > 1e-3).sum()))
    assert 10 < held < 20  # log-normal of median 12 s: 14.4 s on average
    assert len({tuple(row) for row in busy.tolist()}) <= 50  # from a pool that all videos share


def alike(frames: Tensor, apart: int) -> float:
    unit = normalize(frames, dim=1)
    return float((unit[apart:] * unit[:-apart]).sum(1).mean())


def test_every_window_is_seen_however_short() -> None:
    spans: list[tuple[Span, ...]] = [((3.9, 4.1),), ((9.99, 10.0),), ((0.0, 0.0),), ((0.0, 10.0),)]
    assert covered(10.0, 5, spans).int().T.tolist() == [
        [0, 0, 1, 0, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1],
    ]  # fmt: skip


def test_legibility_is_the_share_of_words_that_show() -> None:
    text = "A cook slices four very red onions, doesn't she?"
    assert words_of(text) == ["a", "cook", "slices", "four", "very", "red", "onions", "doesn't", "she"]
    assert show(text, 1.0, key="k") == text
    assert show(text, 0.0, key="k") == ""
    assert len(show(text, 1e-3, key="k").split()) == 1
    four = show(text, 0.45, key="k").split()
    assert len(four) == 4
    assert [word for word in words_of(text) if word in four] == four  # in their order
    assert four != show(text, 0.45, key="other").split()


def test_hashed_words_mean_the_same_everywhere() -> None:
    encoder = hashed_words(256)
    found = encoder.encode(["A man cooks rice", "cooking rice", "violins", ""])
    assert found.valid.sum(1).tolist() == [4, 2, 1, 0]
    sentence = found.sentence
    torch.testing.assert_close(sentence.norm(dim=1), torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert sentence[0] @ sentence[1] > 0.6 > 0.3 > abs(float(sentence[0] @ sentence[2]))
    assert torch.equal(encoder.encode(["violins"]).sentence[0], sentence[2])
    rows = encoder.rows(["A man cooks rice", ""])
    assert [len(row) for row in rows] == [5, 1]
    assert torch.equal(rows[0][-1], sentence[0])


def test_any_sentence_encoder_can_be_brought(tmp_path: Path) -> None:
    def encode(texts: list[str]) -> TextFeatures:
        words = torch.stack([torch.full((3, 4), float(len(text))) for text in texts])
        return TextFeatures(words, torch.tensor([[True, True, False]]).expand(len(texts), 3), words[:, 1] + 1)

    encoder = TextEncoder(name="letters", width=4, encode=encode)
    given = annotated(tmp_path / "in")
    simulate(given, tmp_path / "out", config=SimulateConfig(video_width=8, distractors=5), encoder=encoder)
    packs = open_packs(tmp_path / "out")
    assert packs is not None
    assert read_words(packs.text, "v_stage#0").tolist() == [[35.0] * 4, [35.0] * 4, [36.0] * 4]  # sentence last
    ended = TextEncoder(
        name="[EOS]", width=4, encode=lambda texts: encode(texts)._replace(sentence=encode(texts)[0][:, 1])
    )
    assert [len(rows) for rows in ended.rows(["a", "b"])] == [2, 2]  # it is there already
    with pytest.raises(ConfigError, match="letters makes 4"):
        simulate(given, tmp_path / "other", config=SMALL, encoder=encoder)


def test_a_folder_of_other_features_is_never_touched(tmp_path: Path) -> None:
    made(tmp_path, SMALL)
    given = annotated(tmp_path / "in")
    simulate(given, tmp_path / "out", config=SMALL)  # the same again
    with pytest.raises(DataError, match="other knobs"):
        simulate(given, tmp_path / "out", config=replace(SMALL, noise=9.0))
    (tmp_path / "real" / "FeatureData").mkdir(parents=True)
    with pytest.raises(DataError, match="not simulated"):
        simulate(given, tmp_path / "real", config=SMALL)


def test_what_cannot_be_simulated_is_said(tmp_path: Path) -> None:
    write_queries(tmp_path / "annotations" / "train.jsonl", [Query(query_id="q", video_id="v", text="a door")])
    with pytest.raises(DataError, match="video 'v': neither its length nor a window"):
        simulate(open_annotations(tmp_path), tmp_path / "out", config=SMALL)
    for wrong in ({"noise": -1.0}, {"legibility": 1.5}, {"seconds_per_frame": 0.0}, {"video_width": 0}):
        with pytest.raises(ConfigError, match=f"simulate.{next(iter(wrong))}="):
            replace(SMALL, **wrong)


def test_annotations_of_no_known_benchmark_get_packs_too(tmp_path: Path) -> None:
    given = annotated(tmp_path / "in", source="mine")
    simulate(given, tmp_path / "out", config=replace(SMALL, video_width=None, text_width=None))
    assert check(tmp_path / "out").ok
    assert open_annotations(tmp_path / "out").splits == ("train", "val")


@pytest.fixture(scope="module")
def qvhighlights(shared: Path) -> list[Query]:
    return open_annotations(shared / "annotations", name="qvhighlights").queries("val")[:500]


@pytest.mark.parametrize(("config", "low", "high"), [("easy", 80, 100), ("hard", 40, 85)])
def test_sentences_find_their_videos(qvhighlights: list[Query], config: str, low: float, high: float) -> None:
    """Knowing the map, R@1 over 150 real videos at a fifth of the width; by chance it is below 1."""
    knobs = SimulateConfig.easy() if config == "easy" else SimulateConfig.hard()
    encoder = hashed_words(256)
    built = Scene.build(knobs, encoder.encode(["a man opens the door"] * 10).sentence, video_width=512)
    videos: dict[str, list[Query]] = {}
    for query in qvhighlights:
        videos.setdefault(query.video_id, []).append(query)
    mapped = normalize(encoder.encode([query.text for query in qvhighlights]).sentence @ built.to_video, dim=1)
    best = []
    for video, queries in videos.items():
        shown = encoder.encode([show(query.text, knobs.legibility, key=video) for query in queries]).sentence
        windows = [query.windows for query in queries]
        frames = simulate_video(built, video, queries[0].duration_s or 0.0, shown, windows)
        best.append((mapped @ normalize(frames, dim=1).T).amax(1))
    names = list(videos)
    right = torch.tensor([names.index(query.video_id) for query in qvhighlights])
    recall = 100 * float((torch.stack(best, 1).argmax(1) == right).float().mean())
    assert low < recall < high


def test_the_frames_of_a_window_are_the_nearest_to_its_sentence(tmp_path: Path) -> None:
    packs = made(tmp_path, replace(SMALL, noise=0.5, video_width=512, text_width=256, legibility=1.0))
    knobs = replace(SMALL, video_width=512, text_width=256)
    built = Scene.build(knobs, torch.zeros(0, 256), video_width=512)
    frames = packs.read_video("v_street").features
    for i in range(3):
        sims = frames @ (read_words(packs.text, f"v_street#{i}")[-1] @ built.to_video)
        inside = torch.zeros(50, dtype=torch.bool)
        inside[10 * i : 10 * i + 10] = True
        assert sims[inside].min() > sims[~inside].max()
