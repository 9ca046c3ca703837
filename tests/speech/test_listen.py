"""What is shown to a model of speech, and what is kept of what it writes. Nothing here needs one."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from prvr.core.errors import EncoderError
from prvr.speech.listen import QUIET_S, WINDOW_S, as_float, check_folder, is_sure, windows
from prvr.video.sound import BLOCK, SPEECH_RATE, Samples, SoundBlock


def test_sound_goes_to_the_model_in_one_form_only() -> None:
    made = as_float(np.array([-32768, 0, 16384], np.int16))
    assert made.dtype == np.float32
    assert made.tolist() == [-1.0, 0.0, 0.5]
    wrong = (np.zeros(9, np.float64), np.zeros((1, 9), np.int16), np.zeros(9, np.float32), np.zeros(9, np.int32))
    for sound in wrong:
        with pytest.raises(ValueError, match="int16"):
            as_float(sound)


def blocks_of(sound: Samples, *, start_s: float = 0.0) -> Iterator[SoundBlock]:
    for at in range(0, len(sound), BLOCK):
        yield SoundBlock(start_s + at / SPEECH_RATE, sound[at : at + BLOCK])


def noisy(length_s: float, *, quiet_at_s: tuple[float, ...]) -> Samples:
    sound = np.random.default_rng(0).integers(-9000, 9000, round(length_s * SPEECH_RATE)).astype(np.int16)
    for second in quiet_at_s:
        sound[round(second * SPEECH_RATE) : round((second + 1) * SPEECH_RATE)] //= 100
    return sound


def test_windows_end_where_it_is_quiet_and_lose_nothing() -> None:
    sound = noisy(130.0, quiet_at_s=(10.0, 45.0, 75.0))
    found = list(windows(blocks_of(sound), longest_s=50.0))
    assert np.array_equal(np.concatenate([one.samples for one in found]), sound)
    ends = [one.start_s + len(one.samples) / SPEECH_RATE for one in found]
    assert ends[0] == pytest.approx(45.5, abs=0.5)
    assert ends[1] == pytest.approx(75.5, abs=0.5)
    assert [one.start_s for one in found[1:]] == pytest.approx(ends[:-1])


def test_who_goes_on_in_the_middle_cuts_as_who_never_stopped() -> None:
    sound = noisy(170.0, quiet_at_s=(45.0, 75.0, 122.0))
    every = list(windows(blocks_of(sound), longest_s=50.0))
    for number, one in enumerate(every):
        again = list(windows(blocks_of(sound), from_s=one.start_s, longest_s=50.0))
        assert [(w.start_s, len(w.samples)) for w in again] == [(w.start_s, len(w.samples)) for w in every[number:]]
        assert np.array_equal(again[0].samples, one.samples)


def test_a_hole_ends_a_window_and_a_late_beginning_is_no_sound() -> None:
    sound = noisy(20.0, quiet_at_s=())
    parts = [*blocks_of(sound, start_s=7.0), *blocks_of(sound, start_s=90.0)]
    assert [(one.start_s, len(one.samples)) for one in windows(parts)] == [(7.0, len(sound)), (90.0, len(sound))]


def test_ten_hours_take_the_memory_of_one_window() -> None:
    silence = np.zeros(BLOCK, np.int16)
    tracemalloc.start()
    length = 0
    for one in windows(SoundBlock(30.0 * number, silence) for number in range(1200)):
        length += len(one.samples)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert length == 36_000 * SPEECH_RATE
    assert peak < 5 * (WINDOW_S + QUIET_S) * SPEECH_RATE * 2


def segment(no_speech: float = 0.1, packs: float = 1.5, logprob: float = -0.3) -> SimpleNamespace:
    return SimpleNamespace(no_speech_prob=no_speech, compression_ratio=packs, avg_logprob=logprob)


def test_what_the_model_doubts_is_left_out() -> None:
    assert is_sure(segment())
    assert is_sure(segment(no_speech=0.9)), "small models think so of clear speech, too"
    assert not is_sure(segment(no_speech=0.7, logprob=-0.8)), "silence"
    assert is_sure(segment(logprob=-0.8))
    assert not is_sure(segment(packs=3.1)), "the same again and again"
    assert not is_sure(segment(logprob=-1.1)), "guesses"


def test_a_folder_is_looked_at_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no model.bin.*give one that holds model.bin, config.json, tokenizer.json"):
        check_folder(tmp_path)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(EncoderError, match="checkpoint of transformers: `ct2-transformers-converter"):
        check_folder(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(EncoderError, match="no tokenizer.json"):
        check_folder(tmp_path)
