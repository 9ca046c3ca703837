"""Find moments and hand them to an editing program: `python hand_to_editor.py ~/Videos "people laughing" out.fcpxml`.

The suffix says which program it is for: .fcpxml (Final Cut, Resolve), .xml (Premiere, Resolve), .edl (nearly all),
.otio (`pip install 'prvr[otio]'`). With `.markers` before it, whole videos with markers: laughing.markers.fcpxml.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from prvr import Library


def main(words: Sequence[str] | None = None) -> Path:
    """Write the moments of good and possible matches, with a second before and after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos")
    parser.add_argument("question")
    parser.add_argument("out")
    parser.add_argument("--encoder", help="a model of `prvr models`; without it your default")
    parser.add_argument("--index", help="where the index is; without it in .prvr beside the videos")
    asked = parser.parse_args(words)

    library = Library(asked.videos, encoder=asked.encoder, index=asked.index).index()
    found = library.search(asked.question, k=20)
    here = [hit for hit in found if hit.state == "here" and hit.confidence != "nothing found"]
    if not here:
        raise SystemExit(f"nothing in {asked.videos} matches {asked.question!r}; ask in other words")
    written = library.export(here, asked.out, query=asked.question, before_s=1.0, after_s=1.0)
    print(f"{len(here)} videos in {written}")
    return written


if __name__ == "__main__":
    main()
