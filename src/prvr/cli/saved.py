"""Saved searches of `prvr search`: keep one, list them, see what is new in one, drop one. A server has the same."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from prvr.cli.screen import DONE, emit, say, tell
from prvr.core.errors import QueryError
from prvr.core.text import nearest, one_line

if TYPE_CHECKING:
    from prvr.search.engine import SearchEngine
    from prvr.search.export import SearchHit
    from prvr.service.saved_searches import SavedSearch

ALL = ""  # `--saved` without a name


def saved_options(saved: argparse._ArgumentGroup) -> None:
    """--save, --saved, --drop."""
    saved.add_argument("--save", metavar="NAME", help="keep this search under a name; what it finds now is not new")
    saved.add_argument(
        "--saved",
        nargs="?",
        const=ALL,
        metavar="NAME",
        help="what is new in a saved search, which then counts as looked at; without a name, list them",
    )
    saved.add_argument("--drop", metavar="NAME", help="keep a saved search no longer")


def is_about_saved(args: argparse.Namespace) -> bool:
    """Whether nothing is asked anew. Ends the command line where that does not fit the rest of it."""
    asked = bool(args.query or args.image or args.like)
    if args.save is not None and (len(args.query) != 1 or args.image or args.like):
        args.wrong("--save NAME: keeps one search in words; give one query")
    if (args.saved is not None or args.drop is not None) and (asked or args.export):
        args.wrong("--saved and --drop are about searches that are kept; leave the query and --export out")
    return args.saved is not None or args.drop is not None


def run_saved(args: argparse.Namespace, folder: Path) -> int:
    """List saved searches, tell what is new in one, or drop one."""
    from prvr.service.saved_searches import drop_search, saved_searches

    if args.drop is not None:
        one = _named(folder, args.drop)
        drop_search(folder, one.id)
        say(f"{_called(one)} is not saved any more")
        return DONE
    if args.saved != ALL:
        return _show(args, folder, _named(folder, args.saved))
    rows: list[tuple[SavedSearch, int]] = []
    if known := saved_searches(folder):
        engine = _opened(args, folder)
        rows = [(one, len(_new(engine, one)[1])) for one in known.values()]
    if args.json:
        emit([{"id": one.id, "name": one.name, "query": one.query, "new": new} for one, new in rows])
    for one, new in () if args.json else rows:
        tell(f"{new:4} new  {_called(one)}" + f": {one_line(one.query)}" * bool(one.name))
    if not rows:
        say('No search is saved; `prvr search "what happens" --save NAME` keeps one')
    return DONE


def save(folder: Path, engine: SearchEngine, name: str, query: str) -> None:
    """Keep a search under a name. Raises QueryError where that is another one's."""
    from prvr.service.saved_searches import DEEP, save_search

    hits = engine.search(query, k=DEEP)
    save_search(folder, query, hits, engine.index.versions, name=name)
    say(f"Saved as {one_line(name)}; `prvr search --saved` says when there is something new")


def _show(args: argparse.Namespace, folder: Path, one: SavedSearch) -> int:
    """What is new in one, which then was looked at."""
    from prvr.search.call import SearchCall
    from prvr.search.players import remember
    from prvr.search.telling import told
    from prvr.service.saved_searches import save_search

    engine = _opened(args, folder)
    hits, new = _new(engine, one)
    wanted = SearchCall(queries=(one.query,), k=len(new), everything=args.all, for_machines=args.json)
    if new or args.json:
        found = told(engine, wanted, [(one.query, new)])
        remember(found.moments)
        tell(found.text)
    else:
        say(f"Nothing new in {_called(one)}")
    save_search(folder, one.query, hits, engine.index.versions)
    return DONE


def _new(engine: SearchEngine, one: SavedSearch) -> tuple[list[SearchHit], list[SearchHit]]:
    """What a search finds, and what of it is new."""
    from prvr.service.saved_searches import DEEP

    hits = engine.search(one.query, k=DEEP)
    return hits, one.new(hits, engine.index.versions)


def _opened(args: argparse.Namespace, folder: Path) -> SearchEngine:
    from prvr.search.engine import SearchEngine

    return SearchEngine.open(folder, encoder=args.encoder, device=args.device)


def _named(folder: Path, name: str) -> SavedSearch:
    """A saved search by its name, its sentence or its id. Raises QueryError."""
    from prvr.service.saved_searches import saved_searches

    known = saved_searches(folder)
    for one in known.values():
        if name in (one.name, one.query, one.id):
            return one
    near = nearest(name, [one.name or one.query for one in known.values()])
    hint = f"did you mean {near}?" if near else "`prvr search --saved` lists them"
    raise QueryError(f"{name}: no such saved search; {hint}")


def _called(one: SavedSearch) -> str:
    return one_line(one.name or one.query)
