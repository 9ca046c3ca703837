#!/usr/bin/env bash
# otio-fcp-adapter 1.0.0 with OpenTimelineIO 0.18.1: a clip on a picture track, and the same clip on a sound track.
# Guess: the sound track gets a clipitem of its own, with its own id, times and a link to the picture's.
# Seen: the sound track holds an empty <clipitem id="clipitem-1"/>, which names the picture's item; nothing says that it is
# sound, and a reader that follows the id has one item in two tracks. A sound that differs in any way gets an item of its own.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check opentimelineio==0.18.1 otio-fcp-adapter==1.0.0
"$work/venv/bin/python" - <<'PY'
import xml.etree.ElementTree as ET

import opentimelineio as otio
from opentimelineio.opentime import RationalTime, TimeRange


def written(sound_name):
    timeline = otio.schema.Timeline("t")
    for kind, name in (("Video", "a"), ("Audio", sound_name)):
        media = otio.schema.ExternalReference("file:///film.mov", TimeRange(RationalTime(0, 25), RationalTime(300, 25)))
        clip = otio.schema.Clip(name, media, TimeRange(RationalTime(50, 25), RationalTime(25, 25)))
        track = otio.schema.Track(kind, kind=kind)
        track.append(clip)
        timeline.tracks.append(track)
    root = ET.fromstring(otio.adapters.write_to_string(timeline, "fcp_xml"))
    return [(item.get("id"), len(item)) for item in root.iter("clipitem")]


same, other = written("a"), written("b")
print("(id, number of children) of picture and sound; equal clips:", same, "| clips of other names:", other)
assert same[0][0] == same[1][0] == "clipitem-1" and same[0][1] > 5 and same[1][1] == 0, same
assert other[0][0] != other[1][0] and other[1][1] > 5, other
PY
