#!/usr/bin/env bash
# OpenTimelineIO 0.18.1: the drop-frame label 00:04:00;00 at 30000/1001. Drop-frame leaves out the labels ;00 and ;01 of
# every minute but each tenth, so that no picture has this one.
# Guess: ValueError, as for other text that is no timecode.
# Seen: it is read as frame 7192, which is also what 00:03:59;28 is, two pictures before 00:04:00;02; 00:04:00;01 likewise
# as that of 00:03:59;29. What was read is written again as another label.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check opentimelineio==0.18.1
"$work/venv/bin/python" - <<'PY'
from opentimelineio.opentime import from_timecode, to_timecode

RATE = 30000 / 1001
read = {label: from_timecode(label, RATE) for label in
        ("00:03:59;28", "00:04:00;00", "00:03:59;29", "00:04:00;01", "00:04:00;02")}
for label, time in read.items():
    print(label, "->", time.value, "->", to_timecode(time, RATE, True))
values = [time.value for time in read.values()]
assert values == [7192, 7192, 7193, 7193, 7194], values
assert to_timecode(read["00:04:00;00"], RATE, True) == "00:03:59;28"
PY
