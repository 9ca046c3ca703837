"""The verb that asks a library: search."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from prvr import __version__
from prvr.cli.saved import is_about_saved, run_saved, save, saved_options
from prvr.cli.screen import DONE, NONE, Parser, index_option, opening_options, positive, say, tell
from prvr.core.errors import QueryError
from prvr.core.places import index_folder

if TYPE_CHECKING:
    from prvr.search.call import SearchCall, Told


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """search."""
    search = verbs.add_parser(
        "search",
        help="find videos, and the moments in them, by a sentence",
        description="Find the videos, and the moments in them, that a sentence describes.",
    )
    search.add_argument("query", nargs="*", help="what happens, as a sentence; several are answered together")
    search.add_argument("--image", type=Path, help="search by a picture")
    search.add_argument("--like", metavar="VIDEO@START-END", help="more like this moment, seconds")
    index_option(search)
    search.add_argument("--json", action="store_true", help="print JSON: for each query what was asked, and the hits")
    ranking = search.add_argument_group("what is ranked and shown")
    ranking.add_argument("-k", "--top-k", type=int, default=5, help="videos to show (default: %(default)s)")
    ranking.add_argument("--all", action="store_true", help="show weak matches too")
    ranking.add_argument("--fail-if-none", action="store_true", help="exit with 4 when there are only weak matches")
    ranking.add_argument("--no-words", action="store_true", help="ignore file names and subtitles")
    ranking.add_argument("--uncalibrated", action="store_true", help="do not label how good matches are")
    saved_options(search.add_argument_group("saved searches (the page has the same)"))
    _export_options(search.add_argument_group("export"))
    opening_options(search)
    search.set_defaults(run=run_search, wrong=search.error)
    search.shows(
        'prvr search "a dog jumps into the pool"',
        'prvr search "a dog -cat"                                          # not where a cat shows',
        'prvr search "a door opens then a dog runs within 30s"             # one after the other',
        'prvr search "a dog path:holiday after:2024 longer:5m tag:family"  # filters',
        'prvr search "a goal" --export goals.edl --before 2 --after 3',
        'prvr search "a goal" --export goals.reel.mp4                       # all of them as one film',
        'prvr search "a goal" --save goals                                  # `prvr search --saved`: what is new',
    )


def _export_options(export: argparse._ArgumentGroup) -> None:
    export.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="write the moments: .csv .json .vtt; .mp4 .webm for the best, .reel.mp4 .reel.webm for all one after "
        "another; for editing programs .edl .otio .fcpxml .xml, or .markers.edl and so on for markers on whole videos",
    )
    export.add_argument("--before", type=float, default=0.0, help="start exported moments this many seconds earlier")
    export.add_argument("--after", type=float, default=0.0, help="end exported moments this many seconds later")
    export.add_argument(
        "--fast",
        action="store_true",
        help="copy the pictures of films, where that can be done: a moment then begins at the key frame before it",
    )


def run_search(args: argparse.Namespace) -> int:
    """A sentence to ranked videos with moments; a server that holds the index already answers where there is one."""
    from prvr.search.nearby import ask
    from prvr.search.players import remember

    folder = args.index or index_folder()
    if is_about_saved(args):
        return run_saved(args, folder)
    wanted = _wanted(args)
    usual = not args.export and args.save is None and args.encoder is None and args.device == "auto" and not args.trust
    found = ask(folder, wanted, __version__) if usual else None
    if found is None:
        found = _search_here(folder, wanted, args)
    remember(found.moments)
    for note in found.notes:
        say(note)
    tell(found.text)
    if args.export:
        say(f"Written to {args.export}")
    return NONE if args.fail_if_none and found.nothing else DONE


def _search_here(folder: Path, wanted: SearchCall, args: argparse.Namespace) -> Told:
    from prvr.search.engine import SearchEngine
    from prvr.search.export import OF_ONE, export, form_of
    from prvr.search.telling import find, told

    engine = SearchEngine.open(folder, encoder=args.encoder, device=args.device)
    answers = find(engine, wanted)
    if args.save is not None:
        save(folder, engine, args.save, args.query[0])
    if args.export:
        query, hits = answers[0]
        one = form_of(args.export) in OF_ONE
        wider = {"before_s": args.before, "after_s": args.after}
        export(hits[:1] if one else hits, args.export, query=query, fast=args.fast, **wider)
    return told(engine, wanted, answers)


def _wanted(args: argparse.Namespace) -> SearchCall:
    from prvr.search.call import SearchCall

    if sum([bool(args.query), args.image is not None, args.like is not None]) != 1:
        args.wrong(
            "the following arguments are required: query (or --image FILE, or --like VIDEO@START-END; one of them)"
        )
    like, moment = _moment(args.like) if args.like else (None, (0.0, 0.0))
    return SearchCall(
        queries=tuple(args.query),
        picture=str(args.image) if args.image else None,
        like=like,
        moment=moment,
        typed=args.like or "",
        k=int(positive(args.top_k, "-k")),
        words=not args.no_words,
        calibrated=not args.uncalibrated,
        everything=args.all,
        for_machines=args.json,
    )


def _moment(text: str) -> tuple[str, tuple[float, float]]:
    video_id, _, span = text.rpartition("@")
    start, dash, end = span.partition("-")
    try:
        if video_id and dash:
            return video_id, (float(start), float(end))
    except ValueError:
        pass
    raise QueryError(f"--like {text}: expected VIDEO@START-END in seconds, such as dog.mp4@12-18.5")
