"""The whole way in one command, on the tiny world; and again, with nothing done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from prvr.cli import main


def test_the_demo_walks_the_whole_way_and_repeats_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "demo"
    assert main(["demo", "--size", "tiny", "--out", str(root)]) == 0
    first = capsys.readouterr()
    rows = [line.split("|")[1].strip() for line in first.out.splitlines() if line.startswith("|")]
    assert {"zero-shot", "baseline", "+ TCPL", "MSC"} <= set(rows)
    assert first.out.count(" #  score   moment") in (1, 2, 3), "those that are known to be answered"
    head, *_ = [line for line in first.out.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["", "R@1", "R@5", "R@10", "SumR", "R1@0.5"]
    assert "ρ truth" in (root / "table.md").read_text()
    page = first.err.index("the page, with a question asked already")
    assert page < first.err.index("Training 3 models"), "what a person wants comes first"
    assert "12 made now" in first.err
    assert f"serve --index {root}     the page, with a question asked already" in first.err
    scratch = (".lock", "-wal", "-shm", "folders.json")  # of whoever has the index open; when folders were read last
    files = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    files = {path: mtime for path, mtime in files.items() if not path.name.endswith((*scratch, "table.md"))}
    assert main(["demo", "--size", "tiny", "--out", str(root)]) == 0
    again = capsys.readouterr()
    assert "0 made now" in again.err
    rows, once_more = ([line for line in out.splitlines() if line.startswith("|")] for out in (first.out, again.out))
    assert rows == once_more
    changed = [path for path, mtime in files.items() if not path.exists() or path.stat().st_mtime_ns != mtime]
    assert changed == []


def test_a_demo_of_another_size_is_not_mixed_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "demo"
    root.mkdir()
    (root / "world.json").write_text('{"size": "demo", "seed": 0, "version": 1}')
    assert main(["demo", "--size", "tiny", "--out", str(root)]) == 1
    assert "choose another folder or delete this one" in capsys.readouterr().err.splitlines()[-1]


def test_stopped_in_training_the_library_stays_and_the_page_opens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "demo"

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("prvr.demo.train_run", stop)
        assert main(["demo", "--size", "tiny", "--out", str(root)]) == 130
    assert "Run the same `prvr demo` again to go on" in capsys.readouterr().err
    assert main(["search", "a star", "--index", str(root)]) == 0
    served = []
    monkeypatch.setattr("prvr.serve.runner.run", lambda config, **_: served.append(config.folder))
    monkeypatch.setattr("prvr.demo.train_run", lambda *_, **__: pytest.fail("--serve trains nothing"))
    assert main(["demo", "--size", "tiny", "--out", str(root), "--serve"]) == 0
    assert served == [root]
