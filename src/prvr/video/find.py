"""Which files below a folder are videos."""

from __future__ import annotations

import mimetypes
import os
import stat
from collections import deque
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from prvr.core.errors import VideoError
from prvr.video.apart import ReaderEnded, ask
from prvr.video.content import head_of, holds_a_video, is_text, is_transport_stream, may_hold_a_video
from prvr.video.source import check_file, shown

VIDEO = """
    .264 .265 .360 .3g2 .3gp .3gp2 .3gpp .amv .asf .av1 .avi .avs2 .bik .cavs .dav .divx .dv .dvr-ms .f4v .flc .fli .flv
    .gxf .h261 .h263 .h264 .h265 .h266 .hevc .insv .ivf .lrv .m1v .m2p .m2t .m2ts .m2v .m4v .mj2 .mjpeg .mk3d .mkv .mov
    .mp4 .mp4v .mpe .mpeg .mpg .mpv .mxf .nsv .nut .nuv .obu .ogm .ogv .qt .rmvb .tod .tp .trp .vc1 .vob .vro .vvc .webm
    .wmv .wtv .xvid .y4m
"""
VIDEO_SUFFIXES = frozenset(VIDEO.split())
PROGRAMS = (".ts", ".mts")  # of transport streams, and of TypeScript
MOVING = (".gif", ".apng", ".avif")  # pictures, some of which move
OTHER = """
    .3fr .aac .ac3 .ape .arw .cr2 .cr3 .csv .dng .docx .dts .flac .idx .ithmb .m4a .m4b .m4p .m4r .md .mid .mka .mks
    .mp2 .nef .nfo .nrw .oga .opus .orf .pef .psd .pptx .raf .rw2 .srw .sup .thm .webp .wma .wv .xlsx .xmp
"""
OTHER_SUFFIXES = frozenset(OTHER.split())  # which the standard library does not know
STILL = ("image/", "audio/", "text/", "application/json", "application/pdf", "application/javascript")
KINDS = mimetypes.MimeTypes(filenames=())  # of the standard library, not of the machine
LITTER = """
    #recycle #snapshot $recycle.bin @eadir @recently-snapshot @recycle @sharebin @snapshot @synoresource @tmp __macosx
    lost+found recycled recycler ~snapshot
"""
SPACED = ("network trash folder", "system volume information", "temporary items")
NOT_ENTERED = frozenset((*LITTER.split(), *SPACED))
"""Folders that network drives, bins and archives make for themselves: previews and what was thrown away."""


class Problem(NamedTuple):
    """A file or folder that could not be looked at."""

    path: Path
    line: str  # which begins with the path


class Found(NamedTuple):
    """What lies below a path, and what could not be looked at."""

    videos: list[Path]  # sorted
    problems: list[Problem]


def find_videos(root: Path, *, exclude: Sequence[str] = ()) -> Found:
    """A file is itself, whatever its name; of a folder, all files below it that are named like a video, or are one.

    Files under other names are looked into, but for those that are named like a picture, a sound or a document.
    Links to files and folders are followed, but no folder is entered twice: of a folder that is reached on several
    ways, the way without links is taken. Hidden files and folders are passed over, what machines litter
    (`passed_over`), and what fits one of the patterns to `exclude`: by its name, or by its path below `root`
    (`*.part.mp4`, `private`, `2019/*/raw`). Folders that cannot be read, links that lead nowhere and special files are
    problems, not errors; a missing or unreadable `root` is a VideoError.
    """
    if not root.is_dir():
        check_file(root)
        return Found([root], [])
    found = Found([], [])
    entered: set[tuple[int, int]] = set()
    folders, linked = deque([root]), deque[Path]()
    while folders or linked:
        folder = folders.popleft() if folders else linked.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise VideoError(f"{shown(root)}: the folder cannot be read ({error.strerror}); check it") from None
            line = f"{shown(folder)}: the folder cannot be read ({error.strerror}); it was left out"
            found.problems.append(Problem(folder, line))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            if exclude and _fits(path.relative_to(root).as_posix(), exclude):
                continue
            if _is_folder(entry):
                if not passed_over(Path(entry.name)):
                    (linked if entry.is_symlink() else folders).append(path)
            elif path.suffix.lower() in VIDEO_SUFFIXES or _turns_out_to_be_one(path):
                _sort_in(path, found)
    found.videos.sort()
    return found


def looked_at(path: Path) -> Found:
    """One file, as `find_videos` finds it on its way through the folder that it is in."""
    found = Found([], [])
    _sort_in(path, found)
    return found


def is_named_like_a_video(path: Path) -> bool:
    """By its suffix alone."""
    return path.suffix.lower() in VIDEO_SUFFIXES or path.suffix.lower() in PROGRAMS


def passed_over(below: Path) -> bool:
    """Whether a path lies in a folder that machines keep for themselves, by names alone."""
    return any(name.lower() in NOT_ENTERED for name in below.parts)


def _fits(below: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(below, one) or fnmatchcase(below.rpartition("/")[2], one) for one in patterns)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # its name can be listed, but nothing else be asked
        return False


def _turns_out_to_be_one(path: Path) -> bool:
    """By what is in it; a recording that is damaged is one all the same, where its name speaks for it."""
    suffix = path.suffix.lower()
    if suffix not in MOVING and (suffix in OTHER_SUFFIXES or _kind(suffix).startswith(STILL)):
        return False
    try:
        regular = path.is_file()
    except OSError:
        return False
    if suffix in PROGRAMS:
        head = head_of(path) if regular else b""
        return head is None or is_transport_stream(head) or not is_text(head)
    return regular and may_hold_a_video(path) and _is_one(path)


def _is_one(path: Path) -> bool:
    """By what FFmpeg finds in it. One that ends who looks at it is for whoever reads the videos to name."""
    try:
        return ask(holds_a_video, path)
    except ReaderEnded:
        return True


def _kind(suffix: str) -> str:
    return KINDS.guess_type(f"a{suffix}")[0] or ""


def _sort_in(path: Path, found: Found) -> None:
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        what = "the link leads nowhere" if path.is_symlink() else "cannot be read"
        found.problems.append(Problem(path, f"{shown(path)}: {what} ({error.strerror}); it was left out"))
        return
    if regular:
        found.videos.append(path)
    else:
        found.problems.append(Problem(path, f"{shown(path)}: is not a regular file; it was left out"))
