"""The verb that serves a library: serve."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from prvr.cli.screen import DONE, Parser, device_option, emit, say, trust_option

if TYPE_CHECKING:
    from prvr.serve.runner import Started


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """serve."""
    serve = verbs.add_parser("serve", help="the page and the HTTP interface over an index, until Ctrl-C")
    serve.add_argument("--index", type=Path, help="the index folder (default: the one for this user)")
    serve.add_argument("--host", default="127.0.0.1", help="another one than this machine needs a token (%(default)s)")
    serve.add_argument("--port", type=int, default=8765, help="or the next free one (default: %(default)s)")
    serve.add_argument("--root-path", default="", help="below this path of a proxy, such as /prvr")
    serve.add_argument("--open", action=argparse.BooleanOptionalAction, help="open the page (default: on a desktop)")
    serve.add_argument("--encoder", help="where the index's encoder lies now, if it was moved")
    serve.add_argument("--new-token", action="store_true", help="make another token, the old one ends")
    serve.add_argument("--json", action="store_true", help="print the address as JSON")
    device_option(serve)
    trust_option(serve)
    serve.set_defaults(run=run_serve)


def run_serve(args: argparse.Namespace) -> int:
    """The page and the HTTP interface."""
    import sys

    from prvr.search.places import index_folder
    from prvr.serve.runner import run, token_for
    from prvr.serve.settings import ServeConfig

    folder = args.index or index_folder()
    digest, made = token_for(folder, args.host, new=args.new_token)
    config = ServeConfig(
        folder=folder,
        host=args.host,
        port=args.port,
        root_path=f"/{args.root_path.strip('/')}".rstrip("/"),
        token=digest,
        encoder=args.encoder,
        device=args.device,
    )

    def on_start(started: Started) -> None:
        if started.config.port != args.port and args.port:
            say(f"Port {args.port} is taken")
        if args.json:
            emit({"url": started.url, "index": str(folder), "videos": started.desk.num_videos, "token": made})
            sys.stdout.flush()
        say(f"Open      {started.page}      (Ctrl-C stops{'; nothing leaves this machine' if config.open else ''})")
        say(f"Library   {library_line(started)}")
        if made:
            say(f"Token     {made}      (shown once; kept as a hash. --new-token makes another)")
        elif not config.open:
            say("Token     the one that was made before, or PRVR_TOKEN (--new-token makes another)")

    run(config, on_start=on_start, open_page=on_desktop() if args.open is None else args.open)
    say("Stopped")
    return DONE


def serve_folder(folder: Path, *, device: str) -> int:
    """The page over an index folder, with every option as it is when nobody gives it."""
    parser = Parser()
    add_verbs(parser.add_subparsers(parser_class=Parser))
    return run_serve(parser.parse_args(["serve", "--index", str(folder), "--device", device]))


def on_desktop() -> bool:
    """Whether somebody sits here who would see a browser."""
    import os
    import sys

    shown = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(shown) and sys.stderr.isatty()


def library_line(started: Started) -> str:
    """What is served."""
    holdings = started.desk.known
    if holdings is None:
        return "none yet: choose a folder on the page, or run `prvr index PATH`"
    minutes = sum(facts.duration_s for facts in holdings.facts.values()) / 60
    how = f"model {holdings.model}, encoder {holdings.encoder.fingerprint}"
    sure = "" if holdings.calibrated else "; not calibrated"
    return f"{len(holdings.facts)} videos, {minutes:.0f} min      {how}{sure}"
