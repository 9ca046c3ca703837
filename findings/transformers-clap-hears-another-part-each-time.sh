#!/usr/bin/env bash
# transformers 5.23.0, ClapFeatureExtractor as it comes (truncation="fusion"): the same sounds, three times.
# Guess: the same features each time; a sound of 15 s, where the model takes 10, is cut or averaged at fixed places.
# Seen: the parts of the long sound are drawn by chance, so that its features are others each time. In a batch of short
# sounds one, drawn by chance, is marked as longer than 10 s (`is_longer`), so that the model treats it differently. With
# NumPy seeded before each call they are the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check transformers==5.23.0 torch==2.13.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import numpy as np
from transformers import ClapFeatureExtractor

extract = ClapFeatureExtractor()
noise = np.random.default_rng(0).normal(0, 0.1, 48000 * 15).astype(np.float32)
long, short = noise, [noise[:96000], noise[96000:192000]]


def features(sound, seed=None):
    if seed is not None:
        np.random.seed(seed)
    return extract(sound, sampling_rate=48000, return_tensors="np")


first, second = (features(long, seed)["input_features"] for seed in (1, 2))
again = features(long, 1)["input_features"]
marked = [features(short, seed)["is_longer"].ravel().tolist() for seed in range(8)]
print("truncation:", extract.truncation, "- largest difference of two calls: %.0f dB" % np.abs(first - second).max())
print("marked as longer than 10 s, of two sounds of 2 s:", marked)
assert extract.truncation == "fusion"
assert np.abs(first - second).max() > 5 and np.array_equal(first, again)
assert {tuple(marks) for marks in marked} == {(True, False), (False, True)}, marked
kept = [features(long)["input_features"] for _ in range(3)]
assert not all(np.array_equal(kept[0], other) for other in kept[1:])
PY
