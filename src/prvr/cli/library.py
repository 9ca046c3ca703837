"""Verbs of a library: index and search."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prvr.cli.screen import DONE, FAILED, NONE, Parser, device_option, emit, positive, reading_bar, say, trust_option
from prvr.cli.videos import bring_encoder, closing, extraction, limits, reading_options, sampling
from prvr.core.errors import ConfigError, IndexFolderError, QueryError
from prvr.core.files import there

if TYPE_CHECKING:
    from prvr.search.engine import SearchEngine
    from prvr.search.export import SearchHit
    from prvr.search.indexing import Indexing


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """index, search."""
    _add_index(verbs.add_parser("index", help="folders of video to an index that can be searched"))
    search = verbs.add_parser(
        "search",
        help="a sentence to ranked videos with moments",
        epilog='queries: "a dog jumps", "a dog -cat", "a door opens then a dog runs within 30s", '
        '"a dog path:holiday after:2024 longer:5m tag:family"',
    )
    search.add_argument("query", nargs="*", help="what happens, in a sentence; several are answered together")
    search.add_argument("--image", type=Path, help="search by a picture")
    search.add_argument("--like", metavar="VIDEO@START-END", help="more like this moment, seconds")
    search.add_argument("--index", type=Path, help="the index folder (default: the one for this user)")
    search.add_argument("-k", "--top-k", type=int, default=5, help="videos to show (default: %(default)s)")
    search.add_argument("--all", action="store_true", help="show what is no better than a guess, too")
    search.add_argument("--fail-if-none", action="store_true", help="exit with 4 when no hit is better than a guess")
    search.add_argument("--no-words", action="store_true", help="leave names and subtitles out")
    search.add_argument("--uncalibrated", action="store_true", help="do not say how sure hits are")
    search.add_argument(
        "--export", type=Path, metavar="FILE", help="write the moments: .csv .json .edl .otio .vtt .mp4 .webm"
    )
    search.add_argument("--before", type=float, default=0.0, help="start exported moments so many seconds earlier")
    search.add_argument("--after", type=float, default=0.0, help="end exported moments so many seconds later")
    search.add_argument("--encoder", help="where the index's encoder lies now, if it was moved")
    search.add_argument("--json", action="store_true", help="print the hits as JSON")
    device_option(search)
    trust_option(search)
    search.set_defaults(run=run_search, wrong=search.error)


def _add_index(index: Parser) -> None:
    reading_options(index, encoder=None, paths="*")
    index.add_argument("--index", type=Path, help="the index folder (default: one for this user)")
    index.add_argument("--model", type=Path, help="a run folder; without it the bare encoder ranks")
    index.add_argument("--prune", action="store_true", help="take out the videos below PATH whose files are gone")
    index.add_argument("--tag", action="append", default=[], help="give the videos below PATH a tag")
    index.add_argument("--home", type=Path, help="sentences of this domain that none of the videos shows, a line each")
    index.add_argument("--engine", metavar="URL", help="keep the vectors in a server: qdrant://host:port/collection")
    index.add_argument("--tokens", choices=["fp16", "fp32", "int8"], help="how a new index keeps vectors (fp16)")
    index.add_argument(
        "--alike", type=float, help="a new index keeps neighbouring frames this alike as one, such as 0.98"
    )
    index.add_argument("--verify", action="store_true", help="read all of the index and name what is damaged")
    index.add_argument("--repair", action="store_true", help="make again just what is damaged")
    index.add_argument("--failures", action="store_true", help="name the files that could not be read")
    index.add_argument("--retry", action="store_true", help="try these again, the ignored too")
    trust_option(index)
    index.set_defaults(run=run_index, wrong=index.error)


def run_index(args: argparse.Namespace) -> int:
    """Folders of video to an index."""
    from prvr.search.keeping import failures
    from prvr.search.places import index_folder

    folder = args.index or index_folder()
    if args.verify or args.repair:
        return _upkeep(folder, repair=args.repair)
    if args.failures or (args.retry and not args.paths and not failures(folder)):
        return _failures(args, folder)
    if not args.paths and not args.retry:
        args.wrong("the following arguments are required: PATH (or --retry, --failures, --verify, --repair)")
    return _index(args, folder)


def _index(args: argparse.Namespace, folder: Path) -> int:
    from prvr.index.opening import header_of
    from prvr.index.segments import VectorForm
    from prvr.ranker.ranker import open_run
    from prvr.search.indexing import build_index

    name = args.encoder
    if name is None and (maker := open_run(args.model) if args.model else header_of(folder)):
        name = maker.encoder.source or maker.encoder.name
    encoder = bring_encoder(name or "world", args)
    rate, most, workers = sampling(args)
    home = _lines(args.home) if args.home else []
    with reading_bar() as show:
        done = build_index(
            args.paths,
            folder,
            encoder,
            model=args.model,
            rate=rate,
            max_frames=most,
            workers=workers,
            prune=args.prune,
            tags=args.tag,
            engine=args.engine,
            form=VectorForm(tokens=args.tokens or "fp16", alike=args.alike) if args.tokens or args.alike else None,
            retry=() if args.retry else None,
            home=home,
            on_progress=show,
        )
    return _told(args, folder, done, calibrated=done.calibrated is not None and done.calibrated.enough)


def _told(args: argparse.Namespace, folder: Path, done: Indexing, *, calibrated: bool) -> int:
    """Say what was made, and what comes next; -> the exit code."""
    if args.json:
        emit(
            {
                "index": str(folder),
                "videos": done.num_videos,
                "removed": done.removed,
                "bytes_per_hour": done.bytes_per_hour,
                "calibrated": calibrated,
                **extraction(done.extraction),
            }
        )
    if done.removed:
        say(f"{len(done.removed)} videos taken out whose files are gone")
    code = closing(done.extraction, f"searchable in {folder}", args.paths)
    if done.extraction.failed:
        say(f"What could not be read is kept: `prvr index --failures --index {folder}`; --retry tries it again")
    if code != FAILED:
        if done.bytes_per_hour:
            say(f"{done.bytes_per_hour / 1e6:.1f} MB an hour of video")
        if not calibrated:
            say("Too few videos to say how sure a hit is: confidence is not calibrated")
        say(f'Next: prvr search "what happens in it" --index {folder}')
    return code


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
        print(f"{one.file}: {one.reason}" + " (ignored)" * one.ignored)
    if not found:
        say(f"{folder}: every file could be read")
    return DONE


def _upkeep(folder: Path, *, repair: bool) -> int:
    """Name the damage, or mend it."""
    from prvr.search.indexing import repair as mend
    from prvr.search.indexing import verify

    found, made = mend(folder) if repair else (verify(folder), [])
    for damage in found:
        print(damage)
    if not found:
        say(f"{folder}: every file is as it was written")
        return DONE
    if repair:
        say(f"{len(found)} damages, {len(made)} videos made again")
        return DONE
    say(f"{len(found)} damages; mend them with `prvr index --repair --index {folder}`")
    return FAILED


def run_search(args: argparse.Namespace) -> int:
    """A sentence to ranked videos with moments."""
    from prvr.search.confidence import NOTHING, verdict
    from prvr.search.engine import SearchEngine
    from prvr.search.export import export
    from prvr.search.listing import answer
    from prvr.search.places import index_folder

    asked = [bool(args.query), args.image is not None, args.like is not None]
    if sum(asked) != 1:
        args.wrong(
            "the following arguments are required: query (or --image FILE, or --like VIDEO@START-END; one of them)"
        )
    engine = SearchEngine.open(args.index or index_folder(), encoder=args.encoder, device=args.device)
    answers = _answers(engine, args)
    _say_unknown(engine, args.query)
    for problem in engine.problems:
        say(problem)
    if args.json:
        rows = [[{"rank": rank, **hit.as_dict()} for rank, hit in enumerate(hits, 1)] for _, hits in answers]
        emit(
            rows[0]
            if len(rows) == 1
            else [{"query": query, "hits": row} for (query, _), row in zip(answers, rows, strict=True)]
        )
    else:
        for query, hits in answers:
            if len(answers) > 1:
                print(f'"{query}"')
            print(answer(hits, everything=args.all) + "\n" * (len(answers) > 1))
    if args.export:
        query, hits = answers[0]
        one = args.export.suffix.lower() in (".mp4", ".webm", ".vtt")
        made = export(hits[:1] if one else hits, args.export, query=query, before_s=args.before, after_s=args.after)
        say(f"Written to {made}")
    none = args.fail_if_none and all(not hits or verdict(hits) == NOTHING for _, hits in answers)
    return NONE if none else DONE


def _answers(engine: SearchEngine, args: argparse.Namespace) -> list[tuple[str, list[SearchHit]]]:
    k = int(positive(args.top_k, "-k"))
    if args.image:
        return [(str(args.image), engine.search_image(args.image, k=k))]
    if args.like:
        video_id, span = _moment(args.like)
        return [(args.like, engine.search_like(video_id, span, k=k))]
    found = engine.search_many(args.query, k=k, words=not args.no_words, calibrated=not args.uncalibrated)
    return list(zip(args.query, found, strict=True))


def _say_unknown(engine: SearchEngine, queries: Sequence[str]) -> None:
    from prvr.core.grammar import parse

    requests = [parse(query) for query in queries]
    unknown = {word for one in requests for text in one.steps for word in engine.encoder.unknown_words(text)}
    if unknown:
        spec = engine.encoder.spec
        say(f"Encoder {spec.fingerprint} does not know: {', '.join(sorted(unknown))}{limits(spec)}")


def _moment(text: str) -> tuple[str, tuple[float, float]]:
    video_id, _, span = text.rpartition("@")
    start, dash, end = span.partition("-")
    try:
        if video_id and dash:
            return video_id, (float(start), float(end))
    except ValueError:
        pass
    raise QueryError(f"--like {text}: expected VIDEO@START-END in seconds, such as dog.mp4@12-18.5")


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--home {path}: cannot be read as text ({error}); give a file with a sentence a line"
        ) from error
