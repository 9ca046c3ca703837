"""`python -m benchmarks.torture [PART ...]`: each part prints rows of the table in docs/reliability.md."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="kills, injuries, soak, crowd, many (default: all)")
    parser.add_argument("--kills", type=int, default=500, help="in all (default: %(default)s)")
    parser.add_argument("--of", action="append", help="what is killed or injured (default: everything)")
    parser.add_argument("--injuries", type=int, default=100, help="of each kind of file (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=30.0, help="of the soak (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the crowd (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=100, help="of the crowd (default: %(default)s)")
    parser.add_argument("--files", type=int, default=20_000, help="of the large library (default: %(default)s)")
    args = parser.parse_args()
    for part in args.parts or ["kills", "injuries", "soak", "crowd", "many"]:
        with tempfile.TemporaryDirectory(prefix="prvr-torture-") as place:
            folder = Path(place)
            if part == "kills":
                from benchmarks.torture.kills import kills

                rows = kills(folder, args.kills, args.of)
            elif part == "injuries":
                from benchmarks.torture.injuries import injuries

                rows = injuries(folder, args.injuries, args.of)
            elif part == "soak":
                from benchmarks.torture.served import soak

                rows = soak(folder, args.minutes)
            elif part == "crowd":
                from benchmarks.torture.served import crowd

                rows = crowd(folder, args.clients, args.seconds)
            elif part == "many":
                from benchmarks.torture.many import many

                rows = many(folder, args.files)
            else:
                parser.error(f"no part {part!r}")
            for row in rows:
                print(row, flush=True)


if __name__ == "__main__":
    main()
