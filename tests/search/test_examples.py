"""What a library offers to be asked, it answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prvr.core.facts import Facts
from prvr.data.annotations import write_queries
from prvr.index.base import ZERO_SHOT, IndexHeader
from prvr.index.embedded import EmbeddedIndex
from prvr.ranker.ranker import zero_shot
from prvr.search.confidence import CONFIDENT, NOTHING
from prvr.search.engine import SearchEngine
from prvr.search.examples import CAPTIONS, MOST, NOTE, keep_examples, kept_examples
from tests.search.conftest import Made


@pytest.fixture(params=["beside the index", "in the folder above"])
def library(made: Made, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SearchEngine]:
    folder = tmp_path / "index"
    header = IndexHeader(encoder=made.encoder.spec, model=ZERO_SHOT, width=made.encoder.spec.width, clip_weight=0.0)
    with EmbeddedIndex.create(folder, header) as index:
        for video_id, bank in made.banks.items():
            index.add(video_id, bank, version="1", facts=Facts(duration_s=made.durations[video_id]))
        index.save(folder)
        place = folder if "beside" in request.param else tmp_path
        write_queries(place / CAPTIONS, [query for events in made.queries.values() for query in events])
        yield SearchEngine(index, folder, made.encoder, zero_shot(made.encoder.spec))


def test_every_sentence_that_is_offered_finds_its_own_video_and_no_guess(library: SearchEngine, made: Made) -> None:
    library.calibrate()
    keep_examples(library)
    owners = {query.text: query.video_id for events in made.queries.values() for query in events}
    texts = kept_examples(library.index)
    assert len(texts) == MOST
    assert len({owners[text] for text in texts}) == MOST
    labels = []
    for text in texts:
        first = library.search(text, k=1)[0]
        assert first.video_id == owners[text]
        assert first.confidence != NOTHING
        labels.append(first.confidence)
    assert labels == sorted(labels), "the surest first"
    assert labels[0] == CONFIDENT
    library.index.remove(owners[texts[0]])
    assert kept_examples(library.index) == texts[1:], "a video that is gone is not asked for"


def test_without_captions_nothing_is_offered_and_nothing_is_written(library: SearchEngine, tmp_path: Path) -> None:
    for file in tmp_path.rglob("test.jsonl"):
        file.write_text("no annotations")
    generation = library.generation
    keep_examples(library)
    assert library.generation == generation
    assert kept_examples(library.index) == ()
    library.index.put_note(NOTE, "damaged")
    assert kept_examples(library.index) == ()
