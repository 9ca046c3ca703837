"""The verb that serves a library: serve."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from prvr.cli.screen import DONE, Parser, device_option, emit, index_option, say, trust_option
from prvr.core.text import nearest

if TYPE_CHECKING:
    from prvr.serve.runner import Started


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """serve."""
    serve = verbs.add_parser(
        "serve",
        help="the page and the HTTP interface over an index, until Ctrl-C",
        description="Serve the page and the HTTP interface over an index, until Ctrl-C. Nothing leaves this machine.",
    )
    index_option(serve)
    serve.add_argument("--open", action=argparse.BooleanOptionalAction, help="open the page (default: on a desktop)")
    serve.add_argument("--json", action="store_true", help="print the address as JSON")
    address = serve.add_argument_group("address")
    address.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; anything but %(default)s requires a token"
    )
    address.add_argument("--port", type=int, default=8765, help="or the next free one (default: %(default)s)")
    address.add_argument("--root-path", default="", help="below this path of a proxy, such as /prvr")
    address.add_argument("--new-token", action="store_true", help="make another token, the old one ends")
    machine = serve.add_argument_group("model and machine")
    machine.add_argument("--encoder", help="where the index's encoder lies now, if it was moved")
    device_option(machine)
    trust_option(machine)
    serve.set_defaults(run=run_serve)
    serve.shows(
        "prvr serve", "prvr serve --index demo --port 9000", "prvr serve --host 0.0.0.0   # for others: prints a token"
    )


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
        say(f"Library   {library_line(started, named=args.index)}")
        if made:
            say(f"Token     {made}      (shown once; kept as a hash. --new-token makes another)")
        elif not config.open:
            say("Token     the one that was made before, or PRVR_TOKEN (--new-token makes another)")

    run(config, on_start=on_start, open_page=on_desktop() if args.open is None else args.open)
    say("Stopped")
    return DONE


def on_desktop() -> bool:
    """Whether somebody sits here who would see a browser."""
    import os
    import sys

    shown = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(shown) and sys.stderr.isatty()


def library_line(started: Started, *, named: Path | None = None) -> str:
    """What is served; `named` is the index that the user typed."""
    holdings = started.desk.known
    if holdings is None:
        how = f"choose a folder on the page, or run `prvr index PATH{f' --index {named}' if named else ''}`"
        return f"no index in {named}{_meant(named)}: {how}" if named else f"none yet: {how}"
    minutes = sum(facts.duration_s for facts in holdings.facts.values()) / 60
    how = f"model {holdings.model}, encoder {holdings.encoder.fingerprint}"
    sure = "" if holdings.calibrated else "; not calibrated"
    return f"{len(holdings.facts)} videos, {minutes:.0f} min      {how}{sure}"


def _meant(named: Path) -> str:
    """The index beside it whose name is like the one that was typed."""
    from prvr.search.places import is_index

    beside = named.absolute().parent
    names = [path.name for path in beside.iterdir() if is_index(path)] if beside.is_dir() else []
    near = nearest(named.name, names)
    return f" (did you mean {named.with_name(near)}?)" if near else ""
