#!/usr/bin/env bash
# faster-whisper 1.2.1, decode_audio, which `transcribe` uses for a file: a film in Matroska with a tone from 3 to 4 s and
# another from 6 to 7 s, as a wireless microphone that was switched off and on leaves it.
# Guess: seven seconds of samples, silent in between, so that the times of words are those of the film.
# Seen: two seconds, the tones one after the other from 0 on: stamps are not looked at. Words of the first tone would be told
# 3 s too early, and those of the second 5 s.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check faster-whisper==1.2.1 av==18.1.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
from fractions import Fraction

import av
import numpy as np
from faster_whisper import decode_audio

RATE = 16000
with av.open("film.mkv", "w") as out:
    stream = out.add_stream("flac", rate=RATE, layout="mono")
    tone = (16000 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.int16)
    for begin in (3, 6):
        for at in range(0, RATE, 1000):
            frame = av.AudioFrame.from_ndarray(tone[None, at : at + 1000], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, begin * RATE + at, Fraction(1, RATE)
            out.mux(stream.encode(frame))
    out.mux(stream.encode())

with av.open("film.mkv") as film:
    stamps = [(frame.time, frame.samples / frame.sample_rate) for frame in film.decode(audio=0)]
spans = round(stamps[0][0], 2), round(sum(stamps[-1]), 2)
samples = decode_audio("film.mkv")
loud = np.flatnonzero(np.abs(samples) > 0.1)
pause = np.diff(loud).max() / RATE
print("by their stamps:", spans, "- decode_audio: %.2f s, sound from %.2f s on" % (len(samples) / RATE, loud[0] / RATE))
print("longest pause in it: %.4f s" % pause)
assert spans == (3.0, 7.0), spans
assert abs(len(samples) / RATE - 2) < 0.05 and loud[0] < 100 and pause < 0.01
PY
