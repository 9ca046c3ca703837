#!/usr/bin/env bash
# sqlite-vec 0.1.9 (in SQLite of apsw 3.54.1.0): the three nearest of nine vectors, among those with a mark, and among those whose
# primary key is above 6 (the moments of one video, say).
# Guess: both conditions narrow what is searched; three rows come back.
# Seen: a metadata column does, and so does `id in (...)`. A range of the primary key is applied to the three nearest of all,
# and nothing is left: no row and no error. The same column put in as metadata as well works.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check sqlite-vec==0.1.9 apsw==3.54.1.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import apsw
import sqlite_vec

db = apsw.Connection(":memory:")
db.enable_load_extension(True)
db.load_extension(sqlite_vec.loadable_path())
db.execute("create virtual table v using vec0(id integer primary key, e float[1], copy integer)")
for number in range(1, 10):
    db.execute("insert into v values (?, ?, ?)", (number, f"[{number}]", number))
found = {}
for condition in ("id > 6", "id between 7 and 9", "id in (7, 8, 9)", "copy > 6"):
    ask = f"select id from v where e match '[0]' and k = 3 and {condition} order by distance"
    found[condition] = [row[0] for row in db.execute(ask).fetchall()]
    print(condition, "->", found[condition])
assert found["id > 6"] == found["id between 7 and 9"] == [], found
assert found["id in (7, 8, 9)"] == found["copy > 6"] == [7, 8, 9], found
PY
