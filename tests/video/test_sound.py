"""Sound as speech is heard: on the clock of the pictures, mixed without loss, whatever the file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from prvr.video.apart import ask, lent
from prvr.video.sound import BLOCK, SPEECH_RATE, SilentFilm, SoundBlock, speech
from tests.video.make import leap, write_sound, write_video

RATE = 48_000
TIMES = [number / 5 for number in range(40)]  # eight seconds


def write_beeps(
    path: Path, at: tuple[float, ...], *, late_s: float = 0.0, codec: str = "aac", sides: int = 1, tracks: int = 1
) -> Path:
    """Eight grey seconds; a tone of a fifth of a second at each of some seconds, counted from the first picture."""
    wave = np.zeros(8 * RATE, np.float32)
    for second in at:
        first = round(second * RATE)
        wave[first : first + RATE // 5] = 0.9 * np.sin(np.arange(RATE // 5) * (2 * np.pi * 440 / RATE))
    with av.open(path, "w") as out:
        video = out.add_stream("libx264", rate=5, options={"bf": "0", "preset": "ultrafast"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        streams = [out.add_stream(codec, rate=RATE, layout="stereo" if sides == 2 else "mono") for _ in range(tracks)]
        for stream, language in zip(streams, ("eng", "deu"), strict=False):
            stream.metadata["language"] = language  # before the first packet
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8))
            frame.time_base, frame.pts = Fraction(1, 1000), round((number / 5 + late_s) * 1000)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for number, stream in enumerate(streams):
            assert isinstance(stream, AudioStream)
            for start in range(0, len(wave), 1024):
                part = np.repeat(wave[None, start : start + 1024] * (1 - number / 2), sides, 0)
                sound = av.AudioFrame.from_ndarray(part.copy(), format="fltp", layout=stream.layout.name)
                sound.sample_rate, sound.time_base, sound.pts = RATE, Fraction(1, RATE), start + round(late_s * RATE)
                out.mux(stream.encode(sound))
            out.mux(stream.encode(None))
    return path


def whole(blocks: list[SoundBlock]) -> NDArray[np.int16]:
    """All of it from second 0 on, silence where nothing is."""
    end = max(round(one.start_s * SPEECH_RATE) + len(one.samples) for one in blocks)
    sound = np.zeros(end, np.int16)
    for block in blocks:
        first = round(block.start_s * SPEECH_RATE)
        sound[max(0, first) : first + len(block.samples)] = block.samples[max(0, -first) :]
    return sound


def starts(sound: NDArray[np.int16]) -> list[float]:
    """The seconds at which a tone begins."""
    loud = np.flatnonzero(np.abs(sound.astype(int)) > 8000)
    first = loud[np.flatnonzero(np.diff(loud, prepend=-SPEECH_RATE) > SPEECH_RATE // 4)]
    return [int(one) / SPEECH_RATE for one in first]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "aac"), ("a.mkv", "libopus"), ("a.ts", "aac"), ("a.mov", "pcm_s16le"), ("a.avi", "mp3")],
)
def test_sound_is_where_the_pictures_say(tmp_path: Path, name: str, codec: str) -> None:
    path = write_beeps(tmp_path / name, (1.0, 4.0), codec=codec)
    assert starts(whole(list(speech(path)))) == pytest.approx([1.0, 4.0], abs=0.06)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_film_that_begins_late_is_heard_late(tmp_path: Path, name: str) -> None:
    """The run-up of an encoder (1024 samples before the first) moves nothing."""
    path = write_beeps(tmp_path / name, (1.0,), late_s=3.0)
    blocks = list(speech(path))
    assert blocks[0].start_s == pytest.approx(3.0, abs=0.03)
    assert starts(whole(blocks)) == pytest.approx([4.0], abs=0.03)


def test_a_hole_in_the_sound_moves_nothing_behind_it(tmp_path: Path) -> None:
    whole_film = write_beeps(tmp_path / "a.mkv", (1.0, 6.0))
    for by_s, parts in ((2.0, 1), (60.0, 2)):
        path = leap(whole_film, tmp_path / f"{by_s}.mkv", at_s=4.0, by_s=by_s)
        blocks = list(speech(path))
        assert len(blocks) == parts, "a long hole is no sound to be listened to"
        assert starts(whole(blocks)) == pytest.approx([1.0, 6.0 + by_s], abs=0.05)


def test_two_equal_sides_are_as_loud_as_one(tmp_path: Path) -> None:
    one, two = (
        whole(list(speech(write_beeps(tmp_path / f"{sides}.mkv", (1.0,), codec="flac", sides=sides))))
        for sides in (1, 2)
    )
    assert int(np.abs(two.astype(int)).max()) == pytest.approx(int(np.abs(one.astype(int)).max()), rel=0.02)
    assert np.abs(one.astype(int)).max() < 32_000, "nothing is cut off"


def test_a_track_by_number_or_by_language(tmp_path: Path) -> None:
    path = write_beeps(tmp_path / "a.mkv", (1.0,), tracks=2)
    loud = {track: int(np.abs(whole(list(speech(path, track)))).max()) for track in (None, "1", "2", "eng", "deu")}
    assert loud[None] == loud["1"] == loud["eng"]
    assert loud["2"] == loud["deu"] == pytest.approx(loud["1"] / 2, rel=0.05)
    for track in ("3", "0", "fra"):
        with pytest.raises(SilentFilm, match=rf"has 2 sound tracks \(eng, deu\) and no {track}"):
            list(speech(path, track))


def test_no_sound_and_nothing_but_sound(tmp_path: Path) -> None:
    write_video(tmp_path / "mute.mp4", TIMES)
    with pytest.raises(SilentFilm, match="mute.mp4: has no sound"):
        list(speech(tmp_path / "mute.mp4"))
    write_sound(tmp_path / "a.m4a")
    with pytest.raises(Exception, match="audio only"):
        ask(speech, tmp_path / "a.m4a")


def test_blocks_are_bounded_and_come_from_a_reader(tmp_path: Path) -> None:
    with av.open(tmp_path / "long.mkv", "w") as out:
        video = out.add_stream("libx264", rate=1, options={"preset": "ultrafast"})
        sound = out.add_stream("flac", rate=8000, layout="mono")
        assert isinstance(video, VideoStream)
        assert isinstance(sound, AudioStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(100):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8))))
        out.mux(video.encode(None))
        for start in range(0, 100 * 8000, 4096):
            length = min(4096, 100 * 8000 - start)
            frame = av.AudioFrame.from_ndarray(np.full((1, length), 900, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 8000, Fraction(1, 8000), start
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    with lent() as reader:
        blocks = [one for one in reader.each(speech, tmp_path / "long.mkv", None) if one is not None]
    assert max(len(one.samples) for one in blocks) < BLOCK + SPEECH_RATE
    ends = [one.start_s + len(one.samples) / SPEECH_RATE for one in blocks]
    assert [one.start_s for one in blocks[1:]] == pytest.approx(ends[:-1], abs=1e-6)
    assert ends[-1] == pytest.approx(100.0, abs=0.05)
