"""Folders that 0.1 made open and answer as they did; those of a newer prvr say so. docs/formats.md has the table."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from prvr.core.config import fingerprint, to_dict
from prvr.core.errors import CheckpointError, FeatureError
from prvr.features.store import FeatureStore
from prvr.index.embedded import EmbeddedIndex
from prvr.index.opening import open_index
from prvr.ranker.ranker import CONFIG, SEAL, open_run
from prvr.search.engine import SearchEngine
from prvr.speech.store import SPOKEN, TranscriptStore
from tests.ranker.make import config_of, make_old, write_run


def as_0_1_wrote(index: Path) -> None:
    """What is not in an index of 0.1 is taken out: kinds of passages, checksums of words, seals, lists beside it."""
    with closing(sqlite3.connect(index / "index.db")) as connection, connection:
        connection.execute("ALTER TABLE passage DROP COLUMN kind")
        connection.execute("UPDATE video SET unused = ''")
        (note,) = connection.execute("SELECT text FROM note WHERE name = 'calibration'").fetchone()
        said = json.loads(note) | {"version": 1}
        connection.execute("UPDATE note SET text = ? WHERE name = 'calibration'", (json.dumps(said),))
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    (index / "folders.json").unlink(missing_ok=True)
    header = next((index / "features").glob("*.json"))
    said = json.loads(header.read_text())
    header.write_text(json.dumps({name: said[name] for name in ("encoder", "rate", "max_frames", "normalised")}))


def test_an_index_of_0_1_answers_as_it_did_and_can_be_written(own: Path, engine: SearchEngine) -> None:
    """Only how sure it is has to be found out again, and it says so."""
    as_0_1_wrote(own)
    old = SearchEngine.open(own)
    asked = "a red circle moves"
    assert [(hit.video_id, hit.moments[0]) for hit in old.search(asked, k=5)] == [
        (hit.video_id, hit.moments[0]) for hit in engine.search(asked, k=5)
    ]
    assert {hit.confidence for hit in old.search(asked, k=5)} == {"not calibrated"}
    assert len(FeatureStore.open(own / "features").entries()) == 12
    with open_index(own, write=True) as index:
        index.put_tags({next(iter(index.versions)): ["seen"]})
        index.save(own)
    with EmbeddedIndex.open(own) as index:
        assert index.verify() == []


def test_a_run_of_0_1_opens_and_one_of_a_newer_prvr_is_refused(tmp_path: Path) -> None:
    title = write_run(tmp_path, "msc:world").title
    now = config_of(tmp_path)
    assert now["format"] == 2
    newer = now | {"format": 3, "method": {"another": "form"}}
    (tmp_path / CONFIG).write_text(json.dumps({**newer, SEAL: fingerprint(newer)}))
    with pytest.raises(CheckpointError, match="made by a newer prvr .* reads 2.*; update prvr"):
        open_run(tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps(now))
    make_old(tmp_path, "prvr.recipes.msc:world")
    assert open_run(tmp_path).title in (title, "MSC")


def test_features_and_transcripts_of_a_newer_prvr_are_refused(own: Path) -> None:
    store = FeatureStore.open(own / "features")
    header = next((own / "features").glob("*.json"))
    header.write_text(json.dumps({**to_dict(store.header), "version": 9, "more": 1}))
    with pytest.raises(FeatureError, match=r"made by a newer prvr \(its format is 9, this one reads 1\); update prvr"):
        FeatureStore.open(own / "features")
    (own / SPOKEN.folder).mkdir()
    (own / SPOKEN.folder / SPOKEN.header).write_text(json.dumps({"model": "m", "revision": "r", "version": 9}))
    with pytest.raises(FeatureError, match="made by a newer prvr"):
        TranscriptStore.open(own)
