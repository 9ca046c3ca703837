"""The verb that serves a library: serve."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prvr.cli.screen import DONE, Parser, emit, index_option, opening_options, say, tell
from prvr.core.errors import ConfigError
from prvr.core.places import expanded, index_folder
from prvr.core.text import count, nearest

if TYPE_CHECKING:
    from prvr.serve.runner import Started
    from prvr.service.desk import Desk
    from prvr.service.sessions import Session


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """serve, mcp."""
    _add_serve(
        verbs.add_parser(
            "serve",
            help="open the page, and the HTTP interface, until Ctrl-C",
            description="Serve the page and the HTTP interface over an index, until Ctrl-C. "
            "Nothing leaves this machine.",
        )
    )
    _add_mcp(
        verbs.add_parser(
            "mcp",
            help="let an assistant search (MCP), over standard input and output",
            description="Let an assistant that speaks MCP search your library, look at stills and read what is said. "
            "The assistant starts this command itself. It can change nothing, and only its answers leave this machine.",
        )
    )


def _add_serve(serve: Parser) -> None:
    serve.add_argument(
        "--index",
        type=Path,
        action="append",
        help="an index folder (default: yours); repeat it for more libraries, between which the page switches",
    )
    _folder_options(serve)
    serve.add_argument("--open", action=argparse.BooleanOptionalAction, help="open the page (default: on a desktop)")
    serve.add_argument("--json", action="store_true", help="print the address as JSON")
    serve.add_argument("--mcp", action="store_true", help="let assistants search at /mcp (pip install 'prvr[mcp]')")
    address = serve.add_argument_group("address")
    address.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s, this machine; 0.0.0.0: others too)",
    )
    address.add_argument("--port", type=int, default=8765, help="port, or the next free one (default: %(default)s)")
    address.add_argument("--root-path", default="", help="path below which a proxy serves it, such as /prvr")
    _door_options(serve)
    opening_options(serve)
    serve.set_defaults(run=run_serve)
    serve.shows(
        "prvr serve",
        "prvr serve --index demo --port 9000",
        "prvr serve --link            # an address for another browser",
        "prvr serve --host 0.0.0.0    # for other machines, too",
    )


def _folder_options(serve: Parser) -> None:
    """Folders beside the index; each may be given again."""
    for option, what in {
        "--allow": "let the page add folders below this one too, beside your home folder",
        "--watch": "read what comes or changes below this folder from now on, as *Watch* on the page does",
    }.items():
        serve.add_argument(option, type=Path, action="append", default=[], metavar="FOLDER", help=what)


def _add_mcp(mcp: Parser) -> None:
    index_option(mcp)
    opening_options(mcp)
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


def _door_options(serve: Parser) -> None:
    """Who is let in, and how."""
    doors = serve.add_argument_group(
        "who may ask",
        "Browsers come in by a link, which opens once; programs send a token. All but the first two answer and end.",
    )
    what = doors.add_mutually_exclusive_group()
    what.add_argument("--new-token", action="store_true", help="make a new token; the old one and all sessions end")
    what.add_argument(
        "--no-token", action="store_true", help="require nothing: every account of this machine reads what you may read"
    )
    what.add_argument("--link", action="store_true", help="print an address for another browser")
    what.add_argument("--show-token", action="store_true", help="print the token that programs send")
    what.add_argument("--sessions", action="store_true", help="list the browsers that were let in (--json)")
    what.add_argument("--revoke", metavar="ID", help="end one of these sessions, or `all`")


def run_serve(args: argparse.Namespace) -> int:
    """The page and the HTTP interface; or what is to be said of those who may ask."""
    from prvr.serve.runner import lock_for, run
    from prvr.serve.settings import ServeConfig

    folder, *beside = args.index or [index_folder()]
    if args.link or args.show_token or args.sessions or args.revoke:
        return _doors(args, folder)
    for option, folders in {"--allow": args.allow, "--watch": args.watch}.items():
        for one in folders:
            if not expanded(one).is_dir():
                raise ConfigError(f"{option} {one}: no such folder; check the path")
    lock = lock_for(folder, new=args.new_token, free=args.no_token)
    config = ServeConfig(
        folder=folder,
        roots=(Path.home(), *args.allow),
        host=args.host,
        port=args.port,
        root_path=f"/{args.root_path.strip('/')}".rstrip("/"),
        token=lock.digest,
        shared=lock.shared,
        keyring=lock.keyring,
        watch=tuple(expanded(one).resolve() for one in args.watch),
        mcp=args.mcp,
        encoder=args.encoder,
        device=args.device,
    )

    run(
        config,
        beside=beside,
        on_start=partial(_tell, args, lock.token),
        open_page=on_desktop() if args.open is None else args.open,
    )
    say("Stopped")
    return DONE


def _doors(args: argparse.Namespace, folder: Path) -> int:
    """Links, the token and sessions of the servers over an index."""
    from prvr.serve.runner import invitation
    from prvr.service.keyring import SESSIONS, Keyring
    from prvr.service.sessions import Sessions

    keyring = Keyring(folder)
    if args.show_token:
        tell(os.environ.get("PRVR_TOKEN") or keyring.token())
        return DONE
    if args.link:
        running = next(iter(keyring.running()), None)
        if running is None:
            raise ConfigError(f"no server runs over {folder}; start it, and it prints its address: {_again(args)}")
        with closing(Sessions(running.doors / SESSIONS)) as sessions:
            tell(invitation(running.url, sessions.invite()))
        return DONE
    with closing(keyring.sessions()) as sessions:
        if args.sessions:
            _list(sessions.listed(), as_json=args.json)
            return DONE
        named = None if args.revoke == "all" else args.revoke.lower()
        if named is not None and named not in {one.id for one in sessions.listed()}:
            raise ConfigError(f"--revoke {args.revoke}: no such session; {_again(args)} --sessions lists them")
        say(f"{count(sessions.end(named), 'session')} ended")
    return DONE


def _list(sessions: Sequence[Session], *, as_json: bool) -> None:
    """Who was let in, a line each."""
    if as_json:
        emit([one._asdict() for one in sessions])
        return
    for one in sessions:
        made, used = (time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) for at in (one.made_at, one.used_at))
        tell(f"{one.id}  since {made}  last {used}  {one.address:15}  {one.browser}")
    if not sessions:
        say("Nobody was let in")


def _again(args: argparse.Namespace) -> str:
    """The command that serves the same library."""
    return " ".join(["prvr serve", *(f"--index {shlex.quote(str(one))}" for one in args.index or ())])


def serve_folder(folder: Path, *, device: str) -> int:
    """The page over an index folder, with every option as it is when nobody gives it."""
    parser = Parser()
    add_verbs(parser.add_subparsers(parser_class=Parser))
    return run_serve(parser.parse_args(["serve", "--index", str(folder), "--device", device]))


def _tell(args: argparse.Namespace, token: str | None, started: Started) -> None:
    """Where the page is, and what it needs."""
    from prvr.serve.runner import reachable

    config = started.config
    if config.port != args.port and args.port:
        say(f"Port {args.port} is taken")
    if args.json:
        emit(
            {
                "url": started.url,
                "link": started.page,
                "index": str(config.folder),
                "videos": started.desks[0].num_videos,
                "token": token,
            }
        )
        sys.stdout.flush()
    quiet = "; nothing leaves this machine" if config.local else ""
    say(f"Open      {started.page}      ({'opens once; ' if started.link else ''}Ctrl-C stops{quiet})")
    for desk in started.desks:
        say(f"Library   {library_line(desk, named=bool(args.index))}")
    if started.link:
        say(f"Another   browser gets a link of its own: {_again(args)} --link")
    else:
        say("Anybody   with an account on this machine can open it, and add folders that you may read (--no-token)")
    if not config.local:
        say(f"Others    http://{reachable(config.host)}:{config.port}{config.root_path}/")
        say(f"Token     {f'that of {_again(args)} --show-token' if token else 'PRVR_TOKEN'}")


def on_desktop() -> bool:
    """Whether somebody sits here who would see a browser."""
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
