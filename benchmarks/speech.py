"""How well speech is heard, how fast, and what it does to answers: films in which espeak-ng speaks, a real model.

.venv/bin/python -m benchmarks.speech MODEL [--part heard long fused] [--threads 1]

`heard`: films of clean speech, with noise and with music under it: share of the words that are found within half a
second of their sentence, and how far the times of sentences are off. `long`: thirty minutes, × realtime and memory.
`fused`: 120 films of the generated world, of which 40 speak about something else than they show; R@1 of pictures
alone, of words alone and of both, for queries about what is seen, what is said, and what is said in other words. (The
weights of the fusion were chosen by these queries; others are needed to judge it.)
Nothing is heard twice: what was heard for `fused` is kept in --root. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from prvr.core.facts import Cue, Facts
from prvr.core.types import Bank
from prvr.data.world import iter_world, world_queries
from prvr.encoders.world import load_world_encoder
from prvr.index.base import ZERO_SHOT, IndexHeader
from prvr.index.opening import make_index
from prvr.parts.sampling import frame_spans
from prvr.search.engine import SearchEngine, calibrate_folder
from prvr.search.meaning import keep_meanings
from prvr.speech.hearing import HowToHear, hear
from prvr.speech.listen import Listener
from prvr.speech.models import load_listener
from prvr.speech.store import SpeechHeader, Transcript, TranscriptStore, WantedFilm
from tests.speech.make import RATE, Said, Sound, music, noise, spoken, under, words_of, write_film

VOICES = ("en-us", "en-gb", "en-us+f3", "en-gb+m3")
TALKS = (  # what is said, and the same in other words
    ("The price of coffee went up again this morning.", "coffee is getting more expensive"),
    ("Our train leaves from platform seven at noon.", "when does the railway depart"),
    ("You have to declare your income by the end of May.", "the deadline of the tax return"),
    ("Let the dough rest for an hour before you bake it.", "how long does bread have to rise"),
    ("The motor does not start when it is cold outside.", "a car that will not turn over in winter"),
    ("The doctor says that he has to stay in bed with a fever.", "somebody is ill and must rest"),
    ("They won the final of the cup with two goals.", "a football match that was decided"),
    ("The new bridge across the river opens on Sunday.", "when can one drive over the water"),
    ("She plays the violin in a small orchestra.", "a musician with a string instrument"),
    ("Please switch off your telephone during the exam.", "no mobiles while the test is written"),
    ("The parliament voted against the new law yesterday.", "politicians rejected a bill"),
    ("Our garden needs water, since it has not rained for weeks.", "the plants suffer from drought"),
    ("The bank closed the account without giving a reason.", "money could not be withdrawn any more"),
    ("He asked her to marry him at the top of the tower.", "a proposal of marriage"),
    ("The volcano threw ashes over the whole island.", "an eruption"),
    ("My grandfather was a sailor for forty years.", "an old man who worked at sea"),
    ("The children learn to swim before they go to school.", "lessons in the pool for the young"),
    ("Turn left at the church and follow the road downhill.", "how to get there by car"),
    ("The museum shows paintings from the last century.", "an exhibition of art"),
    ("The computer was stolen from the office at night.", "a burglary"),
    ("We had to wait for six hours at the airport.", "a delayed flight"),
    ("The recipe needs three eggs and a spoon of sugar.", "ingredients for a cake"),
    ("The soldiers came home when the war was over.", "peace after the battle"),
    ("The shop sells shoes and jackets at half price.", "a discount on clothes"),
    ("This medicine must not be taken with alcohol.", "pills and drinking do not go together"),
    ("The moon will hide the sun for four minutes.", "an eclipse"),
    ("The teacher explained how to divide fractions.", "a lesson of mathematics"),
    ("The roof has to be repaired before winter.", "the house lets the rain in"),
    ("He lost his wallet in the crowd at the market.", "somebody cannot find his money"),
    ("The singer cancelled her concert in the capital.", "a show that does not take place"),
    ("The farmers drive their cows up the mountain in spring.", "cattle go to higher meadows"),
    ("The company will dismiss two hundred workers.", "people lose their jobs"),
    ("The river flooded the village after the storm.", "houses under water"),
    ("The telescope found a planet with an atmosphere.", "astronomers discovered another world"),
    ("Wash your hands with soap before you eat.", "hygiene at the table"),
    ("The library lends books for four weeks.", "how long may one keep a novel"),
    ("The fire brigade rescued a cat from the tree.", "a pet was brought down from a branch"),
    ("The king opened the new hospital in the north.", "royalty visits a clinic"),
    ("The battery of the bicycle lasts for ninety kilometres.", "how far does the electric bike go"),
    ("Our neighbour complains about the noise of the party.", "music that is too loud at night"),
)
SUBJECTS = ("The farmer", "A young woman", "My brother", "The old captain", "Her teacher", "A tired nurse", "The mayor")
VERBS = ("sold", "painted", "repaired", "forgot", "carried", "found", "borrowed", "washed")
OBJECTS = ("a wooden chair", "the green bottle", "seven apples", "a heavy suitcase", "the kitchen table", "an umbrella")
PLACES = ("at the station", "behind the church", "in the garden", "after lunch", "on Monday", "near the harbour")
NUMBERS = {"seven": "7", "six": "6", "three": "3", "two": "2", "four": "4", "ninety": "90", "forty": "40"}


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", help="a folder in CTranslate2's form, or a name")
    parser.add_argument("--part", nargs="+", default=["heard", "long", "fused"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--root", type=Path, help="where what was heard for `fused` is kept; default: nowhere")
    args = parser.parse_args()
    listener = load_listener(args.model, device="cpu", threads=args.threads)
    with tempfile.TemporaryDirectory() as temporary:
        root = args.root or Path(temporary)
        for part in args.part:
            {"heard": heard, "long": long, "fused": fused}[part](listener, root)


def heard(listener: Listener, root: Path) -> None:
    """Recall of words and errors of times."""
    print("| under the speech | words | found, % | made up, % | begins off by, s (median, most) |")
    print("| --- | ---: | ---: | ---: | ---: |")
    sound, said = spoken([text for text, _ in TALKS[:24]], pauses=(1.5, 3.0, 6.0, 0.8), voices=VOICES)
    silence = np.zeros(len(sound))
    beds = {
        "nothing": silence,
        "noise": noise(len(sound)),
        "music": music(len(sound)),
        "music, loud": 3 * music(len(sound)),
    }
    for name, bed in beds.items():
        film = write_film(root / f"{name.replace(', ', '-')}.mp4", under(sound, bed), late_s=3.0)
        told(
            name,
            transcript(film, listener, root),
            [one._replace(start_s=one.start_s + 3, end_s=one.end_s + 3) for one in said],
        )
    for name, alone in (("silence", silence), ("noise", noise(len(sound))), ("music", 3 * music(len(sound)))):
        film = write_film(root / f"{name}-alone.mp4", alone.astype(np.int16))
        words = sum(len(one.words) for one in transcript(film, listener, root).utterances)
        print(f"| {name} alone, {len(sound) / RATE / 60:.1f} min | 0 | – | {words} words | – |")


def told(name: str, made: Transcript, said: Sequence[Said]) -> None:
    """A row of the table."""
    words = [word for one in made.utterances for word in one.words]
    total = right = 0
    off = []
    for start_s, end_s, text in said:
        inside = [w for w in words if start_s - 0.5 <= w.start_s and w.end_s <= end_s + 0.5]
        wanted = words_of(" ".join(NUMBERS.get(word, word) for word in text.split()))
        known = words_of(" ".join(NUMBERS.get(w.text.strip(), w.text) for w in inside))
        right += sum(word in known for word in wanted)
        total += len(wanted)
        off += [abs(inside[0].start_s - start_s)] if inside else []
    extra = len(words) - right
    times = f"{statistics.median(off):.2f}, {max(off):.2f}"
    print(f"| {name} | {total} | {100 * right / total:.1f} | {100 * extra / total:.1f} | {times} |")


def transcript(film: Path, listener: Listener, root: Path) -> Transcript:
    """What is heard in one film."""
    store = TranscriptStore.create(root, SpeechHeader(model=listener.name, revision=listener.revision), replace=True)
    found = film.stat()
    return hear(WantedFilm(film.name, film, found.st_size, found.st_mtime_ns, 1e6), listener, store, HowToHear())


def long(listener: Listener, root: Path) -> None:
    """Half an hour: no two sentences alike, a pause of four seconds after every third."""
    sentences = [
        f"{SUBJECTS[i % 7]} {VERBS[i % 8]} {OBJECTS[(i // 3) % 6]} {PLACES[(i // 5) % 6]}." for i in range(420)
    ]
    sound, said = spoken(sentences, pauses=(0.8, 1.2, 4.0), voices=VOICES)
    film = write_film(root / "long.mp4", sound)
    voiced_s = sum(one.end_s - one.start_s for one in said)
    began, used = time.perf_counter(), time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = transcript(film, listener, root)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - used
    length_s, most = len(sound) / RATE, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{length_s / 60:.1f} min, {voiced_s / 60:.1f} of them speech, {len(made.utterances)} utterances:")
    print(f"{length_s / cpu_s:.1f} x realtime of the processor, {length_s / wall_s:.1f} of the clock; memory at most")
    print(f"{most / 1024:.0f} MB, {before / 1024:.0f} of them before it")
    print("| under the speech | words | found, % | made up, % | begins off by, s (median, most) |")
    print("| --- | ---: | ---: | ---: | ---: |")
    told("nothing, 30 min", made, said)


def fused(listener: Listener, root: Path) -> None:
    """R@1 by what is asked about."""
    encoder = load_world_encoder()
    folder = root / "library"
    header = IndexHeader(encoder=encoder.spec, model=ZERO_SHOT, width=encoder.spec.width, clip_weight=0.0)
    videos = list(islice(iter_world("demo", 0), 120))
    words: dict[str, list[Cue]] = {}
    with make_index(folder, header) as index:
        for number, video in enumerate(videos):
            features = encoder.encode_images(encoder.prepare(video.frames))
            tokens = torch.nn.functional.normalize(features, dim=1)
            bank = Bank(tokens, frame_spans(video.times, video.duration_s).float(), len(tokens))
            if number % 3 == 0:
                words[video.video_id] = talk(number // 3, listener, root)
            cues = words.get(video.video_id, [])
            index.add(video.video_id, bank, facts=Facts(duration_s=video.duration_s, path=video.video_id), cues=cues)
        index.save(folder)
    calibrate_folder(folder, encoder)
    ids = {video.video_id for video in videos}
    seen = [(one.text, one.video_id) for split in ("train", "val", "test") for one in world_queries("demo", 0, split)]
    asked = {
        "what is seen": [one for one in seen if one[1] in ids],
        "what is said": [(sentence, name) for name, (sentence, _) in zip(words, TALKS, strict=True)],
        "some words of it": [
            (" ".join(s.strip(".").split()[-5:]), name) for name, (s, _) in zip(words, TALKS, strict=True)
        ],
        "the same in other words": [(other, name) for name, (_, other) in zip(words, TALKS, strict=True)],
    }
    literally = {kind: first(SearchEngine.open(folder), queries) for kind, queries in asked.items()}
    keep_meanings(folder, words)
    engine = SearchEngine.open(folder)
    print("| asked about | queries | pictures alone | words alone | both | both, literally alone |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for kind, queries in asked.items():
        row = [
            first(engine, [(f'seen:"{text}"', name) for text, name in queries]),
            first(engine, [(f'said:"{text}"', name) for text, name in queries]),
            first(engine, queries),
            literally[kind],
        ]
        print(f"| {kind} | {len(queries)} | " + " | ".join(f"{value:.1f}" for value in row) + " |")


def first(engine: SearchEngine, queries: Sequence[tuple[str, str]]) -> float:
    """Share of the queries whose video is first, percent."""
    rankings = engine.rank_many([text for text, _ in queries], k=5)
    right = [
        bool(one.rows) and one.rows[0].candidate.video_id == name
        for one, (_, name) in zip(rankings, queries, strict=True)
    ]
    return 100 * sum(right) / len(right)


def talk(number: int, listener: Listener, root: Path) -> list[Cue]:
    """What is heard of one of the talks."""
    kept = root / f"talk-{number}.json"
    if not kept.exists():
        sound: Sound
        sound, _ = spoken([TALKS[number][0]], pauses=(1.0,), voices=VOICES[number % 4 :][:1])
        made = transcript(write_film(root / "talk.mp4", sound), listener, root)
        kept.write_text(json.dumps(made.cues()))
    return [Cue(*one) for one in json.loads(kept.read_text())]


if __name__ == "__main__":
    main()
