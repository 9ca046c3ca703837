"""Sound to words: faster-whisper (Whisper by CTranslate2) over windows of a few minutes.

In every window voice activity comes first (Silero's network, which faster-whisper brings): what is no voice is never
shown to the model, since of silence it makes words. What it then writes is left out by its own measures, as OpenAI's
Whisper does, but without trying again at random: where the mean of its tokens' log probabilities is below `UNSURE`,
where no speech is more likely than `NO_SPEECH` and that mean is below `DOUBTFUL` (of clear speech alone small models
think so, too), and where the text repeats itself so much that it packs better than `REPEATS`. Text of one window is no
hint for the next, so that an error does not go on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prvr.core.errors import ConfigError, EncoderError
from prvr.core.text import count
from prvr.encoders import catalogue
from prvr.speech.store import SpokenWord, Utterance
from prvr.video.sound import SPEECH_RATE, Samples, SoundBlock

WINDOW_S = 300.0  # that is heard at once: 20 MB
QUIET_S = 30.0  # at its end, in which the quietest place to cut is looked for
BEAT = SPEECH_RATE // 2  # samples of such a place
NO_SPEECH, REPEATS, DOUBTFUL, UNSURE = 0.6, 3.0, -0.7, -1.0
NEEDED = ("model.bin", "config.json", "tokenizer.json")
NEEDS = "listening needs the package faster-whisper; install it with `pip install 'prvr[speech]'`"


def is_installed() -> bool:
    """Whether the package that listens is here."""
    return find_spec("faster_whisper") is not None


class HeardWindow(NamedTuple):
    """What was heard in one window."""

    utterances: tuple[Utterance, ...]  # seconds from its start
    language: str  # empty where nothing is said
    language_p: float
    unsure: int  # utterances that were left out


class Listener:
    """A Whisper model in CTranslate2's form, opened."""

    def __init__(self, folder: Path, *, name: str = "", device: str = "auto", threads: int = 0) -> None:
        """`threads` of the processor; 0: one a core. Raises EncoderError for what is no such model."""
        check_folder(folder)
        try:
            import ctranslate2
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise EncoderError(f"{folder}: {NEEDS}") from error
        logging.getLogger("faster_whisper").setLevel(logging.ERROR)
        graphics = device in ("auto", "cuda") and ctranslate2.get_cuda_device_count() > 0
        try:
            self._model = WhisperModel(
                str(folder),
                device="cuda" if graphics else "cpu",
                compute_type="int8_float16" if graphics else "int8",
                cpu_threads=threads or os.cpu_count() or 1,
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError) as error:
            why = str(error).strip().partition("\n")[0]
            raise EncoderError(f"{folder}: the model cannot be opened ({why}); copy or fetch it again") from error
        self.name = name or folder.resolve().name
        self.revision = catalogue.revision_of(folder)

    @property
    def languages(self) -> list[str]:
        """Codes of the languages that it knows."""
        return list(self._model.supported_languages)

    def check_language(self, language: str | None) -> None:
        """Raises ConfigError for a language that the model does not know."""
        known = self.languages
        if language is not None and language not in known:
            what = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if known[12:] else "")
            raise ConfigError(
                f"--language {language}: {self.name} knows {count(len(known), 'language')} ({what}); give its code, "
                "or another model with --speech"
            )

    def hear(self, samples: Samples, language: str | None) -> HeardWindow:
        """samples (n,) int16 of `SPEECH_RATE` -> the words in them. `language` None: the model tells it."""
        from faster_whisper.transcribe import restore_speech_timestamps
        from faster_whisper.vad import VadOptions, collect_chunks, get_speech_timestamps

        sound = as_float(samples)
        voiced = get_speech_timestamps(sound, VadOptions()) if len(sound) else []
        if not voiced:
            return HeardWindow((), "", 0.0, 0)
        pieces, _ = collect_chunks(sound, voiced)
        found, info = self._model.transcribe(
            np.concatenate(pieces),
            language=language,
            word_timestamps=True,
            temperature=0.0,
            condition_on_previous_text=False,
            no_speech_threshold=None,  # `is_sure` judges: alone it leaves out half of what is clearly said
        )
        end_s = len(sound) / SPEECH_RATE
        every = [one for one in restore_speech_timestamps(found, voiced, SPEECH_RATE) if one.words]
        kept = [one for one in every if is_sure(one)]
        told = bool(kept) or language is not None
        return HeardWindow(
            tuple(_utterance(one, end_s) for one in kept),
            str(info.language) if told else "",
            float(info.language_probability) if told else 0.0,
            len(every) - len(kept),
        )


def check_folder(folder: Path) -> None:
    """Raises EncoderError unless a folder holds a Whisper model in CTranslate2's form, with its tokenizer.

    Without the tokenizer faster-whisper would look for one in the network.
    """
    lacks = [name for name in NEEDED if not (folder / name).is_file()]
    if not lacks:
        return
    if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
        hint = (
            "it is a checkpoint of transformers: `ct2-transformers-converter --model FOLDER --output_dir NEW "
            "--copy_files tokenizer.json preprocessor_config.json` makes one of it"
        )
    else:
        hint = f"give one that holds {', '.join(NEEDED)}"
    raise EncoderError(f"{folder}: is no Whisper model in CTranslate2's form (no {lacks[0]}); {hint}")


def as_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    """(n,) int16 -> (n,) float32 of -1 to 1; whatever else is refused, for the model makes words of anything."""
    if samples.ndim != 1 or samples.dtype != np.int16:
        raise ValueError(f"sound must be (n,) int16, not {samples.shape} {samples.dtype}")
    return samples.astype(np.float32) / np.float32(32768)


def windows(blocks: Iterable[SoundBlock], *, from_s: float = 0.0, longest_s: float = WINDOW_S) -> Iterator[SoundBlock]:
    """Blocks joined to windows that end where it is quiet, in a hole of the sound, or at its end; from a second on.

    Where they are cut depends on nothing before `from_s`, so that who goes on there cuts as who never stopped.
    """
    start_s, kept = from_s, np.zeros(0, np.int16)
    most = round(longest_s * SPEECH_RATE)
    for block in blocks:
        skip = max(0, round((from_s - block.start_s) * SPEECH_RATE))
        samples, at_s = block.samples[skip:], block.start_s + skip / SPEECH_RATE
        if not len(samples):
            continue
        if abs(start_s + len(kept) / SPEECH_RATE - at_s) > 1 / SPEECH_RATE:
            if len(kept):
                yield SoundBlock(start_s, kept)
            start_s, kept = at_s, samples
        else:
            kept = np.concatenate([kept, samples])
        while len(kept) > most:
            cut = quietest(kept[:most])
            yield SoundBlock(start_s, kept[:cut])
            start_s, kept = start_s + cut / SPEECH_RATE, kept[cut:]
    if len(kept):
        yield SoundBlock(start_s, kept)


def quietest(samples: Samples) -> int:
    """Where to cut: the middle of the quietest half second of the last `QUIET_S` seconds, the last of equal ones."""
    first = max(0, len(samples) - round(QUIET_S * SPEECH_RATE))
    beats = samples[first : first + (len(samples) - first) // BEAT * BEAT].reshape(-1, BEAT).astype(np.float32)
    if not len(beats):
        return len(samples)
    loud = np.square(beats).mean(1)
    return first + (len(loud) - 1 - int(loud[::-1].argmin())) * BEAT + BEAT // 2


def is_sure(segment: Any) -> bool:
    """Whether an utterance is kept, by the model's own measures (see the head of this file)."""
    silence = segment.no_speech_prob > NO_SPEECH and segment.avg_logprob < DOUBTFUL
    return bool(segment.avg_logprob >= UNSURE and segment.compression_ratio <= REPEATS and not silence)


def _utterance(segment: Any, end_s: float) -> Utterance:
    """Plain floats, none behind the end of the sound."""
    words = tuple(
        SpokenWord(
            round(float(w.start), 3), round(min(float(w.end), end_s), 3), str(w.word), round(float(w.probability), 3)
        )
        for w in segment.words
        if float(w.start) < end_s
    )
    text = str(segment.text).strip()
    return Utterance(words[0].start_s, words[-1].end_s, text, words) if words else Utterance(end_s, end_s, text, ())
