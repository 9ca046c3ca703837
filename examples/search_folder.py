"""Index a folder of videos, then ask it questions: `python search_folder.py ~/Videos "a dog jumps" "it snows"`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from prvr import Library


def main(words: Sequence[str] | None = None) -> None:
    """Print the best moments for every question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos")
    parser.add_argument("questions", nargs="+")
    parser.add_argument("--encoder", help="a model of `prvr models`; without it your default")
    parser.add_argument("--index", help="where the index is; without it in .prvr beside the videos")
    asked = parser.parse_args(words)

    library = Library(asked.videos, encoder=asked.encoder, index=asked.index)
    library.index(on_progress=lambda now: print(f"{now.done} of {now.total}: {now.current}"))  # reads only what is new
    for question in asked.questions:
        print(f"\n{question}")
        for hit in library.search(question, k=3):
            print(f"  {hit.start:7.1f} to {hit.end:7.1f} s  {hit.score:.3f}  {hit.confidence:15}  {hit.video}")


if __name__ == "__main__":
    main()
