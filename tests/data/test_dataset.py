from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from prvr.core.errors import DataError
from prvr.core.types import Query, TextFeatures, Videos
from prvr.core.vectors import unit_queries
from prvr.data.dataset import RetrievalSet
from prvr.data.prepared import prepared_frames
from prvr.data.sources import StoreSource
from prvr.methods.msc.network import METHOD
from prvr.methods.msc.prepare import MSCVideos, PrepareConfig
from tests.features.make import ColourEncoder, some_features, store_with

SENTENCES = {"a": ["red", "green blue"], "b": ["blue"], "c": ["red red red", "green", "blue green"], "d": ["red blue"]}


def some_set(folder: Path) -> RetrievalSet:
    items = [
        Query(query_id=f"{video}#{i}", video_id=video, text=text)
        for video, texts in SENTENCES.items()
        for i, text in enumerate(texts)
    ]
    store = store_with(folder, {video: some_features(6) for video in SENTENCES})
    return RetrievalSet.build(
        "train",
        items,
        StoreSource(store, lambda _: ColourEncoder()),
        METHOD.prepared(PrepareConfig()),
        cache=folder / "prepared",
    )


def frames(videos: Videos) -> Tensor:
    assert isinstance(videos, MSCVideos)
    return videos.frames


def test_a_batch_is_its_videos_with_all_their_queries(tmp_path: Path) -> None:
    items = some_set(tmp_path)
    batch = items.select(torch.tensor([2, 0]))
    assert batch.video_of_query.tolist() == [1, 1, 0, 0, 0]
    torch.testing.assert_close(frames(batch.videos), frames(items.videos)[[2, 0]])
    torch.testing.assert_close(batch.queries.sentence, items.queries.sentence[[0, 1, 3, 4, 5]])
    assert items.select(torch.tensor([1])).queries.words.shape[1] == 1, "cut to the longest query of the batch"
    assert batch.queries.words.shape[1] == 3


def test_an_epoch_is_every_video_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    items = some_set(tmp_path)

    def order(seed: int, epoch: int) -> list[list[float]]:
        return [
            frames(b.videos)[v, 0].tolist()
            for b in items.batches(3, seed=seed, epoch=epoch)
            for v in range(len(b.videos))
        ]

    every = sorted(frames(items.videos)[:, 0].tolist())
    for epoch in range(3):
        assert sorted(order(1, epoch)) == every
        assert order(1, epoch) == order(1, epoch)
    assert len({str(order(seed, epoch)) for seed in (1, 2) for epoch in range(4)}) > 3
    assert [len(batch.videos) for batch in items.batches(3, seed=0, epoch=0)] == [3, 1]


def test_words_are_unit_rows_and_padding_is_zero() -> None:
    words = torch.tensor([[[3.0, 4.0], [9.0, 9.0]], [[0.0, 2.0], [5.0, 12.0]]])
    valid = torch.tensor([[True, False], [True, True]])
    made = unit_queries(TextFeatures(words, valid, torch.tensor([[0.0, 2.0], [3.0, 4.0]])))
    want = torch.tensor([[[0.6, 0.8], [0, 0]], [[0, 1], [5 / 13, 12 / 13]]])
    torch.testing.assert_close(made.words, want, atol=1e-5, rtol=0)
    torch.testing.assert_close(made.sentence, torch.tensor([[0.0, 1.0], [0.6, 0.8]]), atol=1e-5, rtol=0)
    assert made.valid.tolist() == valid.tolist()


def test_a_video_without_features_is_named(tmp_path: Path) -> None:
    store = store_with(tmp_path, {"a": some_features()})
    items = [Query(query_id=str(i), video_id=video, text="red") for i, video in enumerate("axy")]
    with pytest.raises(
        DataError, match=r"train: 2 of 3 annotated videos have no features in .* \(first: 'x'\); extract"
    ):
        RetrievalSet.build(
            "train",
            items,
            StoreSource(store, lambda _: ColourEncoder()),
            METHOD.prepared(PrepareConfig()),
            cache=tmp_path,
        )


def test_what_is_prepared_is_made_again_where_a_number_changed(tmp_path: Path) -> None:
    """Not used as it is: a flipped bit is another feature."""
    rows = torch.arange(24.0).view(6, 2, 2)
    wanted = rows[[0, 1, 2, 3, 4, 5]]
    asked: list[range] = []

    def make(part: range) -> Tensor:
        asked.append(part)
        return rows[part.start : part.stop]

    place = tmp_path / "prepared"
    for _ in range(2):
        assert torch.equal(prepared_frames(place, 6, make), wanted)
    assert len(asked) == 1, "then it is only read"
    for harm in (lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b[:-8], lambda _: b""):
        file = place / "frames.npy"
        file.write_bytes(harm(file.read_bytes()))
        asked.clear()
        assert torch.equal(prepared_frames(place, 6, make), wanted)
        assert asked, "made again"
        asked.clear()
        assert torch.equal(prepared_frames(place, 6, make), wanted)
        assert not asked
