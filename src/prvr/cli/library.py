"""The verb that makes a library: index."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prvr.cli.engines import check_engine, engine_of, engine_options, run_copy
from prvr.cli.reading import check_words, words_options, words_too
from prvr.cli.screen import (
    DONE,
    FAILED,
    PARTIAL,
    Parser,
    agreed,
    emit,
    index_option,
    reading_bar,
    say,
    tell,
    trust_option,
    yes_option,
)
from prvr.cli.videos import bring_encoder, closing, extraction, reading_options, sampling, workplace
from prvr.core.errors import ConfigError, IndexFolderError
from prvr.core.files import there
from prvr.core.places import expanded, index_folder
from prvr.core.text import count

if TYPE_CHECKING:
    from prvr.core.types import Encoder
    from prvr.search.indexing import Indexing


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """index."""
    _add_index(
        verbs.add_parser(
            "index",
            help="read folders of video into an index that can be searched",
            description="Read folders of video into an index that can be searched. Run it again when files were added, "
            "changed or moved: only those are read. You can stop it at any time: what is finished stays.",
        )
    )


def _add_index(index: Parser) -> None:
    reading_options(index, encoder=None, paths="*")
    index_option(index)
    index.add_argument("--tag", action="append", default=[], help="give the videos below PATH a tag (`prvr untag`)")
    index.add_argument("--prune", action="store_true", help="take out videos below PATH whose files are gone")
    made = index.add_argument_group("how an index is made")
    _ranking_options(made)
    made.add_argument("--home", type=Path, help="sentences of this domain that none of the videos shows, a line each")
    made.add_argument("--tokens", choices=["fp16", "fp32", "int8"], help="how vectors are kept (fp16)")
    made.add_argument(
        "--alike", type=float, help="merge neighbouring frames that are at least this alike, such as 0.98"
    )
    made.add_argument(
        "--replace",
        action="store_true",
        help="make the index anew, for another encoder, model or form: all its videos are read again; asks first",
    )
    yes_option(made)
    trust_option(made)
    words_options(index.add_argument_group("what is said (`prvr listen`), and what is written (`prvr read`)"))
    engine_options(index)
    _upkeep_options(index)
    index.set_defaults(run=run_index, wrong=index.error)
    index.shows(
        "prvr index ~/Videos",
        "prvr index ~/Videos --exclude private --exclude '*.part.mp4' --prune",
        "prvr index ~/Videos/2024 --tag family",
        "prvr index --replace --encoder siglip2-b16   # another model, the same videos",
        "prvr index --ignore ~/Videos/broken.mp4",
        "prvr index --copy-to qdrant://10.0.0.5:6333/videos --shards 6 --replicas 2",
    )


def _upkeep_options(index: Parser) -> None:
    care = index.add_argument_group("upkeep")
    care.add_argument("--failures", action="store_true", help="name the files that could not be read")
    care.add_argument("--retry", action="store_true", help="try these again, the ignored too")
    care.add_argument(
        "--ignore",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="leave one of these alone until it changes",
    )
    care.add_argument("--verify", action="store_true", help="read all of the index and name what is damaged")
    care.add_argument("--repair", action="store_true", help="make again just what is damaged")


def _ranking_options(made: argparse._ArgumentGroup) -> None:
    made.add_argument("--model", type=Path, help="a run folder; without it the bare encoder ranks")
    made.add_argument("--clip-encoder", help="reads windows of frames beside --encoder, which reads frames")
    made.add_argument("--clip-weight", type=float, help="share of the windows in the score beside frames, 0 to 1 (0.5)")


def run_index(args: argparse.Namespace) -> int:
    """Folders of video to an index."""
    from prvr.search.keeping import failures

    folder = args.index or index_folder()
    check_engine(args)
    if args.copy_to or args.copy_from:
        return run_copy(args, folder)
    if args.verify or args.repair:
        return _upkeep(folder, repair=args.repair)
    if args.ignore:
        return _ignore(args.ignore, folder)
    if args.failures or (args.retry and not args.paths and not failures(folder)):
        return _failures(args, folder)
    if not args.paths and not args.retry and not args.replace:
        args.wrong(
            "the following arguments are required: PATH "
            "(or --retry, --failures, --ignore, --replace, --verify, --repair, --copy-to, --copy-from)"
        )
    check_words(args)
    if args.replace and (args.retry or args.prune or args.engine):
        args.wrong("--replace reads all videos of the index again: leave --retry, --prune and --engine out")
    return _index(args, folder)


def _index(args: argparse.Namespace, folder: Path) -> int:
    from prvr.index.segments import VectorForm
    from prvr.ranker.ranker import open_run
    from prvr.search.choosing import Chosen, choose_encoder, made_with
    from prvr.search.indexing import build_index
    from prvr.search.replacing import replace_index

    if args.encoder is not None:
        chosen = Chosen(args.encoder)
    elif args.model:
        chosen = made_with(open_run(args.model).encoder)
    else:
        chosen = choose_encoder(args.paths, folder)
    rate, most, workers = sampling(args)
    encoder = bring_encoder(chosen, args)
    retry = () if args.retry else None
    build: Callable[..., Indexing] = partial(
        build_index, prune=args.prune, forced=args.yes, retry=retry, **engine_of(args)
    )
    if args.replace:
        if not _replacing(args, folder, encoder):
            return DONE
        build = replace_index
    with reading_bar() as show:
        done = build(
            args.paths,
            folder,
            encoder,
            model=args.model,
            rate=rate,
            max_frames=most,
            place=workplace(args, encoder, workers),
            tags=args.tag,
            form=VectorForm(tokens=args.tokens or "fp16", alike=args.alike) if args.tokens or args.alike else None,
            exclude=args.exclude,
            home=_lines(args.home) if args.home else [],
            clip_weight=args.clip_weight,
            on_progress=show,
        )
    code = _told(args, folder, done, calibrated=bool(done.calibrated and done.calibrated.enough))
    return words_too(args, folder, code)


def _told(args: argparse.Namespace, folder: Path, done: Indexing, *, calibrated: bool) -> int:
    """Say what was made, and what comes next; -> the exit code."""
    from prvr.search.confidence import FEWEST_VIDEOS

    if args.json:
        emit(
            {
                "index": str(folder),
                "videos": done.num_videos,
                "removed": done.removed,
                "missing": done.missing,
                "spared": done.spared,
                "notes": done.notes,
                "bytes_per_hour": done.bytes_per_hour,
                "calibrated": calibrated,
                **extraction(done.extraction),
            }
        )
    if done.removed:
        files = "its file is" if len(done.removed) == 1 else "their files are"
        say(f"{count(len(done.removed), 'video')} taken out: {files} gone")
        say("When they are there again, the same command takes that back and reads nothing anew")
    for note in done.notes:
        say(f"note     {note}")
    here = f" --index {folder}" if args.index else ""
    known = f"`prvr index --failures{here}` names them, --retry tries them again, --ignore FILE leaves one alone"
    code = closing(done.extraction, f"searchable in {folder}", args.paths, known=known)
    if code == PARTIAL:
        say(f"What could not be read is kept: `prvr index --failures{here}` names it, --retry tries it again")
    for line in done.spared:
        say(f"{line} `prvr index --prune --yes PATH{here}` takes them out")
    if done.missing and not done.spared:
        is_, it = ("is", "it") if len(done.missing) == 1 else ("are", "them")
        say(f"{count(len(done.missing), 'video')} {is_} missing; --prune takes {it} out (`prvr list --missing{here}`)")
    if code != FAILED:
        if done.bytes_per_hour:
            say(f"The index takes {done.bytes_per_hour / 1e6:.1f} MB for an hour of video")
        if not calibrated:
            say(f"Fewer than {FEWEST_VIDEOS} videos: searches show scores, and not yet how good a match is")
        say(f'Next: prvr search "what happens in it"{here}')
    return PARTIAL if done.spared and code == DONE else code


def _replacing(args: argparse.Namespace, folder: Path, encoder: Encoder) -> bool:
    """Say what an index made anew keeps and loses, and ask; -> whether to go on."""
    from prvr.search.replacing import look_at

    old = look_at(folder)
    if old.header is None:
        return True
    gone = len(old.facts) - len(old.files)
    say(
        f"{folder}: was made with encoder {old.header.encoder.fingerprint} and model {old.header.model}; "
        f"it is made anew with {encoder.spec.fingerprint}{f' and {args.model}' if args.model else ''}"
    )
    say(f"It answers as it is until then. {count(len(old.files), 'video')} read again, where that is needed; tags stay")
    say("What was read for the old one is kept in the folder, so that going back reads nothing")
    if gone:
        say(f"{count(gone, 'video')} without a file: kept only where {encoder.spec.fingerprint} has read it before")
    return agreed("Go on?", yes=args.yes, otherwise="--replace")


def _ignore(files: Sequence[Path], folder: Path) -> int:
    """Leave files alone that could not be read."""
    from prvr.search.keeping import ignore_file

    for file in files:
        ignore_file(folder, expanded(file))
    say(f"{count(len(files), 'file')} left alone until changed; `prvr index --retry` tries all again")
    return DONE


def _failures(args: argparse.Namespace, folder: Path) -> int:
    """What could not be read, a line a file."""
    from prvr.search.keeping import failures
    from prvr.video.source import shown

    if not there(folder):
        raise IndexFolderError(f"{folder}: no index here; make one with `prvr index PATH --index {folder}`")
    found = failures(folder)
    if args.json:
        emit([{"id": one.id, **vars(one), "path": one.file, "root": shown(Path(one.root))} for one in found])
        return DONE
    for one in found:
        tell(f"{one.file}: {one.reason}" + " (ignored)" * one.ignored)
    if not found:
        say(f"{folder}: every file could be read")
    return DONE


def _upkeep(folder: Path, *, repair: bool) -> int:
    """Name the damage, or mend it."""
    from prvr.search.indexing import repair as mend
    from prvr.search.indexing import verify

    found, made = mend(folder) if repair else (verify(folder), [])
    for damage in found:
        tell(str(damage))
    if not found:
        say(f"{folder}: every file is as it was written")
        return DONE
    if repair:
        say(f"{count(len(found), 'damage')} mended, {count(len(made), 'video')} made again")
        return DONE
    say(f"{count(len(found), 'damage')}; mend them with `prvr index --repair --index {folder}`")
    return FAILED


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--home {path}: cannot be read as text ({error}); give a file with a sentence a line"
        ) from error
