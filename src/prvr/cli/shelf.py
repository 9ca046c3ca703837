"""Verbs that look at a library and keep it in order: list, info, remove, untag."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prvr.cli.screen import DONE, FAILED, Parser, agreed, emit, index_option, say, tell, yes_option
from prvr.core.places import expanded, index_folder
from prvr.core.text import clock, count, one_line, text_of

if TYPE_CHECKING:
    from prvr.search.shelf import ShelfFacts, ShelfVideo

STATES = {"here": "", "missing": "missing", "features_only": "no file"}
NAMED = "a video by its id, path or file name, or a folder with videos in it"


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """list, info, remove, untag."""
    _add_list(verbs)
    info = verbs.add_parser(
        "info",
        help="show what is known about an index, or a video in it",
        description="Show what is known about an index (model, size, what is missing) or one of its videos.",
    )
    info.add_argument("what", nargs="?", metavar="VIDEO|INDEX", help="a video of the library, or an index folder")
    index_option(info)
    info.add_argument("--json", action="store_true", help="print it as JSON")
    info.set_defaults(run=run_info)
    info.shows("prvr info                  # your index", "prvr info holiday.mp4", "prvr info demo --json")

    remove = verbs.add_parser(
        "remove",
        help="remove videos from the index; their files stay",
        description="Remove videos, or all videos of folders, from the index. Their files stay where they are.",
    )
    remove.add_argument("what", nargs="+", metavar="VIDEO|FOLDER", help=NAMED)
    index_option(remove)
    yes_option(remove)
    remove.add_argument("--json", action="store_true", help="print what was taken out as JSON")
    remove.set_defaults(run=run_remove)
    remove.shows("prvr remove holiday.mp4", "prvr remove ~/Videos/2019 --yes")

    untag = verbs.add_parser(
        "untag",
        help="remove a tag from videos",
        description="Remove a tag from videos, or from all that have it. `prvr index PATH --tag TAG` adds one.",
    )
    untag.add_argument("tag", metavar="TAG", help="the tag to remove")
    untag.add_argument("what", nargs="*", metavar="VIDEO|FOLDER", help=f"{NAMED} (default: all videos)")
    index_option(untag)
    untag.add_argument("--json", action="store_true", help="print the videos that had it as JSON")
    untag.set_defaults(run=run_untag)
    untag.shows("prvr untag family", "prvr untag family ~/Videos/work")


def _add_list(verbs: argparse._SubParsersAction[Parser]) -> None:
    shown = verbs.add_parser(
        "list",
        help="list the videos of the index, and which files are gone",
        description="List the videos of the index: where they are, how long, when read, and which files are gone.",
    )
    shown.add_argument(
        "filters", nargs="*", metavar="FILTER", help="path: after: before: longer: shorter: tag:, as in a search"
    )
    index_option(shown)
    shown.add_argument("--missing", action="store_true", help="only those whose files are gone")
    shown.add_argument(
        "--sort", choices=["name", "newest", "longest"], default="name", help="order (default: %(default)s)"
    )
    shown.add_argument("--json", action="store_true", help="print them as JSON")
    shown.set_defaults(run=run_list)
    shown.shows(
        "prvr list",
        "prvr list path:holiday longer:5m --sort newest",
        "prvr list --missing",
        "prvr list tag:family --json",
    )


def run_list(args: argparse.Namespace) -> int:
    """The videos of an index."""
    from prvr.core.grammar import filters_of
    from prvr.search.shelf import videos_of

    folder = _folder(args)
    videos = videos_of(folder, where=filters_of(" ".join(args.filters)), order=args.sort)
    videos = [one for one in videos if one.state == "missing" or not args.missing]
    if args.json:
        emit([one.as_dict() for one in videos])
        return DONE
    rows = [[clock(one.duration_s), _day(one.read_at), STATES[one.state], *_place(one), _tags(one)] for one in videos]
    if rows:
        _print_table(["length", "read", "state", "video", "folder", "tags"], rows)
    gone = sum(one.state == "missing" for one in videos)
    say(count(len(videos), "video") + (f", {gone} missing" if gone and not args.missing else ""))
    return DONE


def run_info(args: argparse.Namespace) -> int:
    """An index, or a video of it."""
    from prvr.search.places import is_index
    from prvr.search.shelf import chosen, facts_of, videos_of

    if args.what is None or (not args.index and is_index(expanded(args.what))):
        found = facts_of(expanded(args.what) if args.what else _folder(args))
        emit(found.as_dict()) if args.json else _print_pairs(_of_index(found))
        return DONE
    videos = chosen(videos_of(_folder(args)), [args.what])
    pairs = [_of_video(_folder(args), one) for one in videos]
    if args.json:
        emit([{**one.as_dict(), **more} for one, (_, more) in zip(videos, pairs, strict=True)])
    else:
        for lines, _ in pairs:
            _print_pairs(lines)
    return DONE


def run_remove(args: argparse.Namespace) -> int:
    """Take videos out of an index."""
    from prvr.search.keeping import forget
    from prvr.search.shelf import chosen, videos_of

    folder = _folder(args)
    videos = chosen(videos_of(folder), args.what)
    many = count(len(videos), "video")
    say("\n".join(f"  {one.path or one.video_id}" for one in videos[:10]) + f"\n  … {many} in all" * (len(videos) > 10))
    if not agreed(f"Take {many} out of {folder}? The files stay.", yes=args.yes, otherwise=f"{many} to remove"):
        say("Nothing was taken out")
        return FAILED
    places = [expanded(what).resolve() for what in args.what]
    below = [place for place in places if any(one.path and place in one.path.resolve().parents for one in videos)]
    forget(folder, *(one.video_id for one in videos), below=below)
    if args.json:
        emit([one.video_id for one in videos])
    say(f"{many} taken out. `prvr index {_roots(videos, below)}{_here(args)}` takes them in again")
    return DONE


def run_untag(args: argparse.Namespace) -> int:
    """Take a tag from videos."""
    from prvr.core.errors import ConfigError
    from prvr.core.text import nearest
    from prvr.search.keeping import untag
    from prvr.search.shelf import chosen, videos_of

    folder = _folder(args)
    videos = videos_of(folder)
    tags = sorted({tag for one in videos for tag in one.tags})
    if args.tag not in tags:
        near = nearest(args.tag, tags)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(tags)}" if tags else "there are no tags"
        raise ConfigError(f"no video has the tag {args.tag!r}; {hint}")
    had = untag(folder, args.tag, *(one.video_id for one in (chosen(videos, args.what) if args.what else videos)))
    if args.json:
        emit(had)
    say(f"{args.tag!r} taken from {count(len(had), 'video')}")
    return DONE


def _of_index(found: ShelfFacts) -> list[tuple[str, str]]:
    files = count(found.videos, "video") + f", {clock(found.duration_s)}"
    unread = count(found.failures - found.ignored, "file") + (f", and {found.ignored} ignored" if found.ignored else "")
    sampled = found.sampled
    every = f"{sampled.rate:g} x a second" if sampled else "features are not kept"
    most = f", at most {sampled.max_frames} a video" if sampled and sampled.max_frames else ""
    where = f"the vectors are in {found.server}" if found.server else f"{found.num_bytes / 1e6:.1f} MB"
    rows = [
        ("index", str(found.folder)),
        ("encoder", f"{found.encoder.fingerprint}, from {found.encoder.source or found.encoder.name}"),
        ("model", f"{found.model}, vectors {found.width} wide"),
        ("videos", files),
        ("missing", f"{found.missing}: `prvr list --missing` names them" if found.missing else "none"),
        ("not read", f"{unread}: `prvr index --failures` names them" if found.failures else "none"),
        ("size", where),
        ("frames", every + most),
        (
            "calibrated",
            "yes: hits say how sure they are" if found.calibrated else "no: hits do not say how sure they are",
        ),
        ("tags", ", ".join(found.tags)),
        ("kept too", ", ".join(path.name for path in found.kept)),
        ("damage", "; ".join(found.problems)),
    ]
    return [(name, text) for name, text in rows if text]


def _of_video(folder: Path, video: ShelfVideo) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """For people and for machines."""
    from prvr.search.shelf import file_facts, vectors_of

    frames, clips = vectors_of(folder, video.video_id)
    more: dict[str, Any] = {"num_frames": frames, "num_clips": clips, **file_facts(folder, video)}
    rows = [
        ("video", video.video_id),
        ("file", text_of(video.path or "not known")),
        ("state", {"here": "here", "missing": "missing"}.get(video.state, "only its features are known")),
        ("length", clock(video.duration_s)),
        ("picture", more.get("picture", "")),
        ("sound", more.get("sound", "")),
        ("vectors", f"{frames} of frames" + (f", {clips} of clips" if clips else "")),
        ("subtitles", more.get("subtitles_said", "")),
        ("notes", "; ".join(more.get("notes", ()))),
        ("read", _day(video.read_at)),
        ("changed", _day(video.modified)),
        ("tags", _tags(video)),
        ("problem", more.get("problem") or ""),
    ]
    return [(name, text) for name, text in rows if text], {k: v for k, v in more.items() if k != "subtitles_said"}


def _folder(args: argparse.Namespace) -> Path:

    return expanded(args.index) if args.index else index_folder()


def _here(args: argparse.Namespace) -> str:
    return f" --index {args.index}" if args.index else ""


def _roots(videos: Sequence[ShelfVideo], folders: Sequence[Path]) -> str:
    """What to give to `prvr index` to have them again."""
    from prvr.search.places import root_of

    if folders:
        return " ".join(map(str, folders))
    roots = {str(root_of(one.path, one.video_id)): None for one in videos if one.path}
    return " ".join(list(roots)[:3]) or "PATH"


def _place(video: ShelfVideo) -> tuple[str, str]:
    return video.name, text_of(video.path.parent) if video.path else ""


def _tags(video: ShelfVideo) -> str:
    return ", ".join(video.tags)


def _day(when: float | None) -> str:
    return "" if when is None else datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M")


def _print_pairs(rows: Sequence[tuple[str, str]]) -> None:
    for name, text in rows:
        tell(f"{name:<11} {one_line(text)}")


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns in which anything stands."""
    cells = [[one_line(cell) for cell in row] for row in (head, *rows)]
    used = [column for column in zip(*cells, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in used]
    for row in zip(*used, strict=True):
        tell("  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip())
