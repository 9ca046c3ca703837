#!/usr/bin/env bash
# otio-fcp-adapter 1.0.0 with OpenTimelineIO 0.18.1: a clip out of a file whose timecode begins at one hour, with a marker
# on its first picture.
# Guess: <in> of the marker counts as <in> of the clip does, from the first picture of the file (here 50).
# Seen: the clip's <in> is 50, its marker's is 90050, the file's timecode as a number of frames: in a file of 300.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check opentimelineio==0.18.1 otio-fcp-adapter==1.0.0
"$work/venv/bin/python" - <<'PY'
import xml.etree.ElementTree as ET

import opentimelineio as otio
from opentimelineio.opentime import RationalTime, TimeRange

media = otio.schema.ExternalReference("file:///film.mov", TimeRange(RationalTime(90000, 25), RationalTime(300, 25)))
clip = otio.schema.Clip("a", media, TimeRange(RationalTime(90050, 25), RationalTime(25, 25)))
clip.markers.append(otio.schema.Marker("here", TimeRange(RationalTime(90050, 25), RationalTime(0, 25))))
timeline = otio.schema.Timeline("t")
track = otio.schema.Track("V", kind="Video")
track.append(clip)
timeline.tracks.append(track)
item = next(ET.fromstring(otio.adapters.write_to_string(timeline, "fcp_xml")).iter("clipitem"))
found = item.findtext("in"), item.findtext("marker/in"), item.findtext("file/duration")
print("in of the clip, in of its marker, length of the file:", found)
assert found == ("50", "90050", "300"), found
PY
