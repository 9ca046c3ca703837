#!/usr/bin/env bash
# ttconv 1.2.3: a SubRip text with a comparison, made WebVTT, and read again by ttconv, by webvtt-py 0.6.0 and by FFmpeg
# (PyAV 18.1.0).
# Guess: "<" and "&" are written as entities, as WebVTT asks for, so that the text is the same for each reader.
# Seen: they are written as they are. Of "5 < 6 & 7 > 2" ttconv itself reads "5 & 7 > 2", the others "5  2"; of "a < b"
# ttconv and FFmpeg read "a". From SubRip to SubRip with ttconv the texts stay.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check ttconv==1.2.3 webvtt-py==0.6.0 av==18.1.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import io

import av
import ttconv.srt.reader
import ttconv.srt.writer
import ttconv.vtt.reader
import ttconv.vtt.writer
import webvtt


def words(subrip):
    return " ".join(subrip.split("\n")[2:]).strip()


def by_ffmpeg(text):
    with open("film.vtt", "w") as file:
        file.write(text)
    with av.open("film.vtt") as film:
        sets = [packet.decode() for packet in film.demux(subtitles=0)]
    lines = [one.ass.decode().split(",", 8)[-1] for each in sets for one in each]
    return " ".join(lines).strip()


seen = {}
for text in ("5 < 6 & 7 > 2", "a < b"):
    model = ttconv.srt.reader.to_model(io.StringIO(f"1\n00:00:01,000 --> 00:00:04,000\n{text}\n\n"))
    written = ttconv.vtt.writer.from_model(model)
    own = words(ttconv.srt.writer.from_model(ttconv.vtt.reader.to_model(io.StringIO(written))))
    other = webvtt.from_string(written)[0].text
    seen[text] = own, other, by_ffmpeg(written)
    print(repr(text), "in the file:", text in written, "- ttconv:", repr(own), "webvtt-py, FFmpeg:", seen[text][1:])
    assert text in written, written
    assert words(ttconv.srt.writer.from_model(model)) == text
assert [own for own, *_ in seen.values()] == ["5 & 7 > 2", "a"], seen
assert seen["5 < 6 & 7 > 2"][1:] == ("5  2", "5  2"), seen
assert seen["a < b"][1:] == ("a < b", "a"), seen
PY
