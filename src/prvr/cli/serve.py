"""The verb that serves a library: serve."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from prvr.cli.screen import DONE, Parser, device_option, emit, index_option, say, trust_option
from prvr.core.places import index_folder
from prvr.core.text import nearest

if TYPE_CHECKING:
    from prvr.serve.runner import Started
    from prvr.service.desk import Desk


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """serve, mcp."""
    _add_serve(
        verbs.add_parser(
            "serve",
            help="the page and the HTTP interface over an index, until Ctrl-C",
            description="Serve the page and the HTTP interface over an index, until Ctrl-C. "
            "Nothing leaves this machine.",
        )
    )
    _add_mcp(
        verbs.add_parser(
            "mcp",
            help="the library as tools of an assistant, over standard input and output",
            description="Let an assistant that speaks MCP search your library, look at stills and read what is said. "
            "It starts this command itself; it can change nothing, and nothing leaves this machine but its answers.",
        )
    )


def _add_serve(serve: Parser) -> None:
    serve.add_argument(
        "--index",
        type=Path,
        action="append",
        help="an index folder (default: yours); give it again for each further library, and the page has a switch",
    )
    serve.add_argument(
        "--allow",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="let the page add folders below this one too, beside your home folder",
    )
    serve.add_argument("--open", action=argparse.BooleanOptionalAction, help="open the page (default: on a desktop)")
    serve.add_argument("--json", action="store_true", help="print the address as JSON")
    serve.add_argument("--mcp", action="store_true", help="let assistants search at /mcp (pip install 'prvr[mcp]')")
    address = serve.add_argument_group("address")
    address.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; anything but %(default)s requires a token"
    )
    address.add_argument("--port", type=int, default=8765, help="or the next free one (default: %(default)s)")
    address.add_argument("--root-path", default="", help="below this path of a proxy, such as /prvr")
    address.add_argument("--new-token", action="store_true", help="make another token, the old one ends")
    machine = serve.add_argument_group("model and machine")
    machine.add_argument("--encoder", help="where the encoder of the index is now, if it was moved")
    device_option(machine)
    trust_option(machine)
    serve.set_defaults(run=run_serve)
    serve.shows(
        "prvr serve", "prvr serve --index demo --port 9000", "prvr serve --host 0.0.0.0   # for others: prints a token"
    )


def _add_mcp(mcp: Parser) -> None:
    index_option(mcp)
    machine = mcp.add_argument_group("model and machine")
    machine.add_argument("--encoder", help="where the encoder of the index is now, if it was moved")
    device_option(machine)
    trust_option(machine)
    mcp.set_defaults(run=run_mcp)
    mcp.shows("prvr mcp", "prvr mcp --index demo")


def run_mcp(args: argparse.Namespace) -> int:
    """The tools of an assistant, until it closes standard input."""
    from prvr.serve.settings import need_mcp

    need_mcp()
    from prvr.serve.assistants import assistant
    from prvr.service.desk import Desk
    from prvr.service.media import Media

    folder = args.index or index_folder()
    desk, media = Desk(folder, encoder=args.encoder, device=args.device), Media(folder)
    try:
        desk.open()
        say(f"Library   {library_line(desk, named=bool(args.index))}")
        assistant(desk, lambda: media).run("stdio")
    finally:
        media.close()
        desk.close()
    return DONE


def run_serve(args: argparse.Namespace) -> int:
    """The page and the HTTP interface."""
    from functools import partial

    from prvr.core.errors import ConfigError
    from prvr.serve.runner import run, token_for
    from prvr.serve.settings import ServeConfig

    folder, *beside = args.index or [index_folder()]
    for one in args.allow:
        if not one.is_dir():
            raise ConfigError(f"--allow {one}: no such folder; check the path")
    digest, made = token_for(folder, args.host, new=args.new_token)
    config = ServeConfig(
        folder=folder,
        roots=(Path.home(), *args.allow),
        host=args.host,
        port=args.port,
        root_path=f"/{args.root_path.strip('/')}".rstrip("/"),
        token=digest,
        mcp=args.mcp,
        encoder=args.encoder,
        device=args.device,
    )

    run(
        config,
        beside=beside,
        on_start=partial(_tell, args, made),
        open_page=on_desktop() if args.open is None else args.open,
    )
    say("Stopped")
    return DONE


def serve_folder(folder: Path, *, device: str) -> int:
    """The page over an index folder, with every option as it is when nobody gives it."""
    parser = Parser()
    add_verbs(parser.add_subparsers(parser_class=Parser))
    return run_serve(parser.parse_args(["serve", "--index", str(folder), "--device", device]))


def _tell(args: argparse.Namespace, made: str | None, started: Started) -> None:
    """Where the page is, and what it needs."""
    import sys

    from prvr.serve.runner import reachable

    config = started.config
    if config.port != args.port and args.port:
        say(f"Port {args.port} is taken")
    if args.json:
        found = {"url": started.url, "index": str(config.folder), "videos": started.desks[0].num_videos, "token": made}
        emit(found)
        sys.stdout.flush()
    say(f"Open      {started.page}      (Ctrl-C stops{'; nothing leaves this machine' if config.open else ''})")
    for desk in started.desks:
        say(f"Library   {library_line(desk, named=bool(args.index))}")
    if not config.open:
        say(f"Others    http://{reachable(config.host)}:{config.port}{config.root_path}/")
    if made:
        say(f"Token     {made}      (shown once; kept as a hash. --new-token makes another)")
    elif not config.open:
        say("Token     the one that was made before, or PRVR_TOKEN (--new-token makes another)")


def on_desktop() -> bool:
    """Whether somebody sits here who would see a browser."""
    import os
    import sys

    shown = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(shown) and sys.stderr.isatty()


def library_line(desk: Desk, *, named: bool = False) -> str:
    """What is served; `named` says that the user typed this folder."""
    holdings = desk.known
    if holdings is None:
        how = f"add a folder on the page, or run `prvr index PATH --index {desk.folder}`"
        return (
            f"no index in {desk.folder}{_meant(desk.folder)}: {how}" if named else f"none yet in {desk.folder}: {how}"
        )
    minutes = sum(facts.duration_s for facts in holdings.facts.values()) / 60
    how = f"model {holdings.model}, encoder {holdings.encoder.fingerprint}"
    sure = "" if holdings.calibrated else "; searches show scores, not how good a match is"
    return f"{len(holdings.facts)} videos, {minutes:.0f} min      {how}{sure}"


def _meant(named: Path) -> str:
    """The index beside it whose name is like the one that was typed."""
    from prvr.search.places import is_index

    beside = named.absolute().parent
    names = [path.name for path in beside.iterdir() if is_index(path)] if beside.is_dir() else []
    near = nearest(named.name, names)
    return f" (did you mean {named.with_name(near)}?)" if near else ""
