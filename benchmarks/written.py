"""How much of what is written on the screen is read, what is made up, and what it costs.

.venv/bin/python -m benchmarks.written [--part films engines] [--seconds 60] [--threads 1]

`films`: films of each kind of letters over each ground: share of the lines that are found, lines that are made up, and
processor seconds for an hour of film, of the reading alone (the process that decodes is not in it). `engines`: PP-OCRv6
and tesseract (where it is installed) read the same pictures whole. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from prvr.speech.store import ON_SCREEN, SpeechHeader, TranscriptStore, WantedFilm
from prvr.written.following import letters_of
from prvr.written.reader import ScreenReader
from prvr.written.reading import read_screen
from tests.written.make import OnScreen, draw, ground, write_film

TEXTS = (
    "The harbour opens at seven", "He goes home tonight", "She goes home tonight", "Coffee is expensive again",
    "Turn left at the church", "The moon will hide the sun", "Directed by Anna Moreau", "Camera Yuki Tanaka",
    "Platform 7", "Willow Street", "batteries not included", "terms and conditions apply",
)  # fmt: skip
EVERY_S = {"caption": 3.4, "credits": 1.2, "sign": 6.0, "small": 15.0, "faint": 15.0}
SHOWN_S = {"caption": 3.0, "credits": 8.0, "sign": 5.0, "small": 14.0, "faint": 14.0}
GROUNDS = ("still", "drift", "leaves")


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--part", nargs="+", default=["films", "engines"], choices=["films", "engines"])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each film")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    reader = ScreenReader(threads=args.threads)
    for part in args.part:
        if part == "films":
            films(reader, args.seconds)
        else:
            engines(reader)


def films(reader: ScreenReader, seconds: float) -> None:
    """A row a kind of letters and a ground."""
    print("| written | ground | lines | found, % | made up | CPU s an hour |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for how in ("none", *EVERY_S):
            for behind in GROUNDS:
                lines = [] if how == "none" else drawn(how, seconds)
                film = write_film(Path(folder) / f"{how}-{behind}.mp4", lines, duration_s=seconds, kind=behind)
                found, cpu_s = read(film, reader, seconds, Path(folder))
                wanted = [letters_of(line.text) for line in lines]
                right = sum(any(text in one for one in found) for text in wanted)
                extra = sum(not any(text in one for text in wanted) for one in found)
                share = f"{100 * right / len(wanted):.0f}" if wanted else "–"
                print(
                    f"| {how} | {behind} | {len(wanted)} | {share} | {extra} | {cpu_s / seconds * 3600:.0f} |",
                    flush=True,
                )
    print(f"\nMemory of this process at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def drawn(how: str, seconds: float) -> list[OnScreen]:
    """One text after another, each as long as its kind is usually shown."""
    shown_s = SHOWN_S[how]
    starts = np.arange(1.0, seconds - shown_s, EVERY_S[how])
    return [OnScreen(at, at + shown_s, TEXTS[i % len(TEXTS)], how) for i, at in enumerate(starts.tolist())]  # type: ignore[arg-type]


def read(film: Path, reader: ScreenReader, seconds: float, folder: Path) -> tuple[list[str], float]:
    """The letters of what is found in a film, and processor seconds."""
    header = SpeechHeader(model=reader.name, revision=reader.revision)
    store = TranscriptStore.create(folder, header, ON_SCREEN, replace=True)
    began = time.process_time()
    made = read_screen(WantedFilm(film.name, film, 0, 0, seconds), reader, store, 1.0)
    return [letters_of(one.text) for one in made.utterances], time.process_time() - began


def engines(reader: ScreenReader) -> None:
    """The same pictures, read whole by each engine."""
    known: dict[str, Callable[[Image.Image], str]] = {"PP-OCRv6 small (rapidocr)": lambda one: by_reader(reader, one)}
    if shutil.which("tesseract"):
        known["tesseract 5"] = by_tesseract
    print(
        "| engine | " + " | ".join(f"{how}, %" for how in EVERY_S) + " | made up, words a picture | CPU s a picture |"
    )
    print("| --- |" + " ---: |" * (len(EVERY_S) + 2))
    for name, engine in known.items():
        shares, extra, cost = [], [], []
        for how in EVERY_S:
            right = 0
            cases = [(text, behind) for text in TEXTS[3:6] for behind in GROUNDS]
            for text, behind in cases:
                picture = ground(behind, (1280, 720))(3.0)
                draw(picture, OnScreen(0.0, 10.0, text, how), 4.0)  # type: ignore[arg-type]
                began = cpu_s()
                made = engine(picture)
                cost.append(cpu_s() - began)
                right += letters_of(text) in letters_of(made)
                extra.append(sum(word not in letters_of(text) for word in map(letters_of, made.split()) if word))
            shares.append(100 * right / len(cases))
        row = " | ".join(f"{share:.0f}" for share in shares)
        print(f"| {name} | {row} | {statistics.mean(extra):.2f} | {statistics.mean(cost):.2f} |", flush=True)


def by_reader(reader: ScreenReader, picture: Image.Image) -> str:
    """All lines, one after another."""
    pixels = np.asarray(picture)
    return " ".join(reader.read(pixels, corners).text for corners in reader.find(pixels))


def by_tesseract(picture: Image.Image) -> str:
    """As one block of English, which reads more of these pictures than sparse text does, on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.png"
        picture.save(file)
        command: Sequence[str] = ["tesseract", str(file), "-", "--psm", "6", "-l", "eng"]
        made = subprocess.run(command, capture_output=True, text=True, check=True, env={"OMP_THREAD_LIMIT": "1"})
    return made.stdout


def cpu_s() -> float:
    """Of this process and those that it waited for."""
    return sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


if __name__ == "__main__":
    main()
