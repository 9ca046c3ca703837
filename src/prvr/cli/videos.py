"""Verbs that read folders of video: extract, index, search, doctor, demo."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prvr.cli.screen import (
    DONE,
    FAILED,
    PARTIAL,
    Parser,
    count_bar,
    device_option,
    emit,
    positive,
    reading_bar,
    say,
    training_bar,
)

if TYPE_CHECKING:
    from prvr.core.types import Encoder, EncoderSpec, Hit
    from prvr.features.extract import Extraction


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """demo, extract, index, search, doctor."""
    demo = verbs.add_parser("demo", help="make a small library of videos and go the whole way through it")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder to work in (default: %(default)s)")
    demo.add_argument("--size", default="demo", help="tiny or demo (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="of the world (default: %(default)s)")
    demo.add_argument("--seeds", type=int, default=1, help="training runs a row of the table (default: %(default)s)")
    device_option(demo)
    demo.set_defaults(run=run_demo)

    extract = verbs.add_parser("extract", help="videos to features, safe to stop and go on")
    _reading(extract, encoder="world")
    extract.add_argument("--out", type=Path, required=True, help="the feature store")
    extract.set_defaults(run=run_extract)

    index = verbs.add_parser("index", help="folders of video to an index that can be searched")
    _reading(index, encoder=None)
    index.add_argument("--index", type=Path, help="the index folder (default: one for this user)")
    index.add_argument("--model", type=Path, help="a run folder; without it the bare encoder ranks")
    index.set_defaults(run=run_index)

    search = verbs.add_parser("search", help="a sentence to ranked videos with moments")
    search.add_argument("query", help="what happens, in a sentence")
    search.add_argument("--index", type=Path, help="the index folder (default: the one for this user)")
    search.add_argument("-k", "--top-k", type=int, default=5, help="videos to show (default: %(default)s)")
    search.add_argument("--encoder", help="where the index's encoder lies now, if it was moved")
    search.add_argument("--json", action="store_true", help="print the hits as JSON")
    device_option(search)
    search.set_defaults(run=run_search)

    doctor = verbs.add_parser("doctor", help="check this machine, a line a check, with the fix")
    doctor.add_argument("--index", type=Path, help="the index folder to look at (default: the one for this user)")
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")
    doctor.set_defaults(run=run_doctor)


def _reading(parser: Parser, *, encoder: str | None) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="video files, or folders to walk")
    parser.add_argument("--encoder", default=encoder, help="world, a folder, or a hub name")
    parser.add_argument("--rate", type=float, default=1.0, help="frames a second (default: %(default)s)")
    parser.add_argument("--max-frames", type=int, help="at most so many a video, spread over its length")
    parser.add_argument("--workers", type=int, help="videos at a time (default: one a core)")
    parser.add_argument("--dtype", default="auto", help="auto, fp32 or bf16 (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    device_option(parser)


def run_extract(args: argparse.Namespace) -> int:
    """Videos to features."""
    from prvr.features.extract import extract

    encoder = _encoder(args.encoder, args)
    rate, most, workers = _sampling(args)
    with reading_bar() as show:
        done = extract(args.paths, encoder, args.out, rate=rate, max_frames=most, workers=workers, on_progress=show)
    if args.json:
        emit({"store": str(args.out), **_extraction(done)})
    return _closing(done, f"in {args.out}", args.paths)


def run_index(args: argparse.Namespace) -> int:
    """Folders of video to an index."""
    from prvr.index.exact import read_header
    from prvr.recipes.runs import open_run
    from prvr.search.indexing import build_index
    from prvr.search.places import index_folder

    folder = args.index or index_folder()
    name = args.encoder
    if name is None and (maker := open_run(args.model) if args.model else read_header(folder)):
        name = maker.encoder.source or maker.encoder.name
    encoder = _encoder(name or "world", args)
    rate, most, workers = _sampling(args)
    with reading_bar() as show:
        done = build_index(
            args.paths,
            folder,
            encoder,
            model=args.model,
            rate=rate,
            max_frames=most,
            workers=workers,
            on_progress=show,
        )
    if args.json:
        emit({"index": str(folder), "videos": done.num_videos, **_extraction(done.extraction)})
    code = _closing(done.extraction, f"searchable in {folder}", args.paths)
    if code != FAILED:
        say(f'Next: prvr search "what happens in it" --index {folder}')
    return code


def run_search(args: argparse.Namespace) -> int:
    """A sentence to ranked videos with moments."""
    from prvr.search.engine import SearchEngine
    from prvr.search.listing import hit_table
    from prvr.search.places import index_folder

    engine = SearchEngine.open(args.index or index_folder(), encoder=args.encoder, device=args.device)
    hits = engine.search(args.query, k=int(positive(args.top_k, "-k")))
    unknown = engine.encoder.unknown_words(args.query)
    if unknown:
        spec = engine.encoder.spec
        say(f"Encoder {spec.fingerprint} does not know: {', '.join(unknown)}{_limits(spec)}")
    if args.json:
        emit([_hit(rank, hit) for rank, hit in enumerate(hits, 1)])
    else:
        print(hit_table(hits))
    return DONE


def run_doctor(args: argparse.Namespace) -> int:
    """Check this machine."""
    from prvr.doctor import examine
    from prvr.search.places import index_folder

    checks = examine(args.index or index_folder())
    if args.json:
        emit([check._asdict() for check in checks])
    else:
        for check in checks:
            print(
                f"{'ok ' if check.ok else '!! '} {check.name:<12} {check.found}"
                + (f"  -> {check.fix}" if check.fix else "")
            )
    return DONE if all(check.ok for check in checks) else FAILED


def run_demo(args: argparse.Namespace) -> int:
    """The whole way, once."""
    from prvr.demo import Screen
    from prvr.demo import run_demo as walk

    screen = Screen(say=say, show=print, counting=count_bar, reading=reading_bar, training=training_bar)
    seeds = int(positive(args.seeds, "--seeds"))
    walk(args.out, screen, size=args.size, seed=args.seed, seeds=seeds, device=args.device)
    return DONE


def _hit(rank: int, hit: Hit) -> dict[str, Any]:
    return {
        "rank": rank,
        "video_id": hit.video_id,
        "path": str(hit.path) if hit.path else None,
        "score": round(hit.score, 6),
        "confidence": hit.confidence,
        "start": hit.start,
        "end": hit.end,
        "moments": hit.moments,
        "duration_s": hit.duration_s,
    }


def _extraction(done: Extraction) -> dict[str, Any]:
    return {"made": done.made, "kept": done.kept, "failed": done.failed, "video_s": done.video_s, "wall_s": done.wall_s}


def _closing(done: Extraction, place: str, paths: Sequence[Path]) -> int:
    """What was done, a line for each file that could not be read; -> the exit code."""
    for problem in done.failed.values():
        say(f"skipped  {problem}")
    if not done.video_ids:
        where = ", ".join(map(str, paths))
        say(f"prvr: no video could be read below {where}; give a folder that holds video files" * (not done.failed))
        return FAILED
    speed = f", {done.video_s / done.wall_s:.0f} x realtime" if done.made and done.wall_s else ""
    skipped = f", {len(done.failed)} skipped" if done.failed else ""
    say(f"{len(done.made)} videos read now{speed}, {len(done.kept)} unchanged{skipped}; {len(done.video_ids)} {place}")
    return PARTIAL if done.failed else DONE


def _encoder(name: str, args: argparse.Namespace) -> Encoder:
    from prvr.encoders.loading import load_encoder

    encoder = load_encoder(name, device=args.device, dtype=args.dtype)
    say(f"Encoder {encoder.spec.fingerprint}, {encoder.spec.width} wide{_limits(encoder.spec)}")
    return encoder


def _limits(spec: EncoderSpec) -> str:
    """What an encoder does not know, said wherever it is used."""
    if spec.domain == "general":
        return ""
    return f"; it knows the {spec.domain}: for other footage name a general one (--encoder FOLDER or hub name)"


def _sampling(args: argparse.Namespace) -> tuple[float, int | None, int | None]:
    """--rate, --max-frames and --workers, judged."""
    whole = [(args.max_frames, "--max-frames"), (args.workers, "--workers")]
    most, workers = (None if value is None else int(positive(value, name)) for value, name in whole)
    return positive(args.rate, "--rate"), most, workers
