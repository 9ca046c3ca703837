"""An index that an earlier prvr read says what to do, and that is enough."""

from __future__ import annotations

from pathlib import Path

from prvr.cli import main
from prvr.encoders.world import load_world_encoder
from prvr.features.store import FeatureStore
from prvr.index.opening import header_of, make_index, open_index
from prvr.search.indexing import build_index
from prvr.search.readings import NOTE, old_reading
from tests.video.make import steps, write_video


def test_an_index_read_by_the_old_clock(tmp_path: Path, capsys: object) -> None:
    films, index = tmp_path / "films", tmp_path / "index"
    films.mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_video(films / name, steps(2, 5))
    build_index([films], index, load_world_encoder())
    header = header_of(index)
    assert header is not None
    with make_index(index, header) as opened:
        assert old_reading(opened, index) == []
        opened.put_note(NOTE, "")
    store = FeatureStore.open(index / "features")
    with store.writing():
        for entry in store.entries():
            store.write(
                entry.video_id, store.read(entry.video_id), source=entry.file, size=entry.size, mtime_ns=entry.mtime_ns
            )
    assert main(["search", "a circle", "--index", str(index)]) == 0
    said = capsys.readouterr().err  # type: ignore[attr-defined]
    assert said.count("an earlier prvr") == 1
    assert f"`prvr index PATH --index {index}`" in said
    build_index([films / "a.mp4"], index, load_world_encoder())
    with open_index(index) as opened:
        assert len(old_reading(opened, index)) == 1, "the other one was not looked at yet"
    build_index([films], index, load_world_encoder())
    assert main(["search", "a circle", "--index", str(index)]) == 0
    assert "an earlier prvr" not in capsys.readouterr().err  # type: ignore[attr-defined]
