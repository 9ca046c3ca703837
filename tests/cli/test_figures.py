"""Every figure that the documentation marks has a command, and what a command prints is written where it is marked."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from benchmarks import figures
from prvr.cli import build_parser

ROOT = Path(__file__).parents[2]


def test_every_marked_figure_has_a_command_and_every_command_a_place() -> None:
    known, marked = figures.commands(), figures.marked()
    measured = {key for one in known.values() for key in one.figures}
    assert len(measured) > 40
    assert measured - set(marked) == set(), "no page states these"
    meant = {f"{name}.{what}" for name in known for what in figures.MEANT}
    assert set(marked) - measured - meant == set(), "no command of benchmarks/figures.toml measures these"
    assert sum(len(one.figures) for one in known.values()) == len(measured), "two commands measure the same"
    for page in figures.pages():
        text = page.read_text(encoding="utf-8")
        assert text.count("<!-- figure:") == text.count("<!-- /figure -->") == len(figures.MARK.findall(text)), page


def test_every_command_of_a_figure_is_there() -> None:
    for name, one in figures.commands().items():
        first, *rest = one.words
        if first == "python":
            assert (ROOT / f"{rest[1].replace('.', '/')}.py").is_file(), name
        else:
            line = one.words[-1].partition(" && ")[0] if first == "sh" else shlex.join(one.words)
            if line.startswith("prvr ") and "--help" not in line:
                build_parser().parse_args(shlex.split(line)[1:])


def test_every_result_says_what_made_it() -> None:
    for page in (ROOT / "docs" / "results").glob("*.md"):
        if page.name not in ("README.md", "world.md"):  # the list, and what others are measured on
            assert "| command |" in page.read_text(encoding="utf-8"), page


def test_a_figure_is_measured_and_written_at_its_places_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    page, table = tmp_path / "README.md", tmp_path / "figures.toml"
    before = (
        "In <!-- figure: start-up -->no time<!-- /figure --> (<!-- figure: start.date -->old<!-- /figure -->).\n"
        "| a | <!-- figure: sizes -->1 | 2<!-- /figure --> |\n\n<!-- figure: whole -->\n\n| x |\n\n<!-- /figure -->\n"
        "<!-- figure: slow -->a day<!-- /figure -->\n"
    )
    page.write_text(before)
    table.write_text(
        '[start]\ncommand = "python -c \'print(\\"3,404 and 0.5\\\\n| y |\\\\n| z |\\")\'"\n[start.figures]\n'
        "start-up = ['took (\\S+) s', '{0:.0f} days']\nsizes = ['(\\S+) and (\\S+)', '{0:,.0f} | {1:.2f}']\n"
        "whole = ['(?m)((?:^\\| . \\|\\n?)+)', '{0}']\n"
        "[slow]\ncommand = 'false'\nlong = true\n[slow.figures]\nslow = ['(.)', '{0}']\n"
    )
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "pages", lambda: [page])
    known = figures.commands(table)
    monkeypatch.setattr(figures, "commands", lambda: known)
    monkeypatch.setattr("sys.argv", ["figures"])
    figures.main()
    after = page.read_text()
    assert "<!-- figure: start-up -->0 days<!-- /figure -->" in after
    assert "<!-- figure: sizes -->3,404 | 0.50<!-- /figure -->" in after
    assert "<!-- figure: whole -->\n\n| y |\n| z |\n\n<!-- /figure -->" in after
    assert "<!-- figure: slow -->a day<!-- /figure -->" in after
    assert "old" not in after
    assert "slow: passed over, it takes long" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["figures", "--only", "slow"])
    with pytest.raises(SystemExit, match="ended with 1"):
        figures.main()
    assert page.read_text() == after
