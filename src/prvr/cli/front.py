"""The command line: parse, call, print. Results go to stdout, words for people to stderr.

Exit codes: 0 done, 1 failed, 2 usage, 3 some files were skipped, 4 no
confident match (where it was asked for), 130 interrupted and safe to go on.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from prvr import __version__
from prvr.cli import (
    data,
    library,
    listening,
    models,
    places,
    reading,
    recipes,
    research,
    search,
    serve,
    service,
    shelf,
    videos,
)
from prvr.cli.screen import DONE, FAILED, INTERRUPTED, Parser, say
from prvr.core.errors import PrvrError
from prvr.ranker.names import trusting


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; -> its exit code."""
    # Threads that wait give way soon: where they spin beside a busy process, a step takes ten times as long.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that no encoding has is shown, not an error
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = build_parser()
    args = parser.parse_args(argv)
    if not args.command:
        parser.print_help()
        return DONE
    try:
        with trusting(getattr(args, "trust", ())):
            code: int = args.run(args)
        sys.stdout.flush()
        return code
    except PrvrError as error:
        say(f"prvr {args.command}: {error}")
        return FAILED
    except KeyboardInterrupt:
        say(f"\nStopped safely; what is finished stays. Run the same `prvr {args.command}` again to go on.")
        return INTERRUPTED
    except BrokenPipeError:  # `prvr search … | head`
        sys.stderr.close()
        return DONE


def build_parser() -> Parser:
    """The verbs and their options."""
    parser = Parser(prog="prvr", description="Find the video, and the moment in it, that a sentence describes.")
    parser.add_argument("--version", action="version", version=f"prvr {__version__}")
    verbs = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    videos.add_verbs(verbs)
    library.add_verbs(verbs)
    search.add_verbs(verbs)
    places.add_verbs(verbs)
    listening.add_verbs(verbs)
    reading.add_verbs(verbs)
    shelf.add_verbs(verbs)
    serve.add_verbs(verbs)
    service.add_verbs(verbs)
    models.add_verbs(verbs)
    recipes.add_verbs(verbs)
    research.add_verbs(verbs)
    data.add_verbs(verbs)
    return parser
