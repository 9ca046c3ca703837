#!/usr/bin/env bash
# sqlite-vec 0.1.9 (in SQLite of apsw 3.54.1.0) and DuckDB 2.0.1: cosine, and one vector that is all zeros, as the features of
# a black or silent piece can be.
# Guess: it is left out or comes last, as its cosine is not defined.
# Seen: in sqlite-vec it depends on where the vector was put in. Put in first it is the nearest for every query, with NULL as
# its distance, and with k = 1 the only answer; put in last it comes last. In DuckDB its similarity is NaN, which counts as
# larger than any number: it is first in falling order of array_cosine_similarity, and max() is NaN.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check sqlite-vec==0.1.9 apsw==3.54.1.0 duckdb==2.0.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import apsw
import duckdb
import sqlite_vec

ZERO = "[0, 0]"


def nearest(vectors, count):
    """(vector, distance) of the `count` nearest to [1, 0]."""
    db = apsw.Connection(":memory:")
    db.enable_load_extension(True)
    db.load_extension(sqlite_vec.loadable_path())
    db.execute("create virtual table v using vec0(id integer primary key, e float[2] distance_metric=cosine)")
    for row in enumerate(vectors):
        db.execute("insert into v values (?, ?)", row)
    found = db.execute("select id, distance from v where e match '[1, 0]' and k = ?", (count,)).fetchall()
    return [(vectors[number], distance) for number, distance in found]


first = nearest([ZERO, "[1, 0]", "[-1, 0]"], 1)
last = nearest(["[1, 0]", "[-1, 0]", ZERO], 3)
print("sqlite-vec, put in first:", first, "put in last:", last)
assert first == [(ZERO, None)], first
assert last == [("[1, 0]", 0.0), ("[-1, 0]", 2.0), (ZERO, None)], last

duck = duckdb.connect()
duck.execute("create table v (id integer, e float[2])")
duck.executemany("insert into v values (?, ?::float[2])", [(1, "[1, 0]"), (2, ZERO), (3, "[-1, 0]")])
likeness, distance = (f"array_cosine_{kind}(e, [1, 0]::float[2])" for kind in ("similarity", "distance"))
by_likeness = [row[0] for row in duck.execute(f"select id from v order by {likeness} desc").fetchall()]
by_distance = [row[0] for row in duck.execute(f"select id from v order by {distance}").fetchall()]
best = duck.execute(f"select max({likeness}), arg_max(id, {likeness}) from v").fetchone()
print("DuckDB: by likeness", by_likeness, "by distance", by_distance, "best", best)
assert by_likeness == [2, 1, 3] and by_distance == [1, 3, 2], (by_likeness, by_distance)
assert best[0] != best[0] and best[1] == 2, best
PY
