#!/usr/bin/env bash
# qdrant-edge-py 0.9.0: numbers of a payload (times of moments, say) that are read back from the segment.
# Guess: a payload is JSON, and a float64 that Python writes as its shortest text comes back as the same number.
# Seen: about one in twelve comes back as the float64 beside it, one step (an ulp) away; the others are equal. As text they stay.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check qdrant-edge-py==0.9.0
"$work/venv/bin/python" - "$work/shard" <<'PY'
import math
import random
import sys
from pathlib import Path

import qdrant_edge as q

Path(sys.argv[1]).mkdir()
shard = q.EdgeShard.create(
    sys.argv[1], q.EdgeConfig(vectors={"v": q.EdgeVectorParams(size=1, distance=q.Distance.Dot)})
)
chance = random.Random(0)
sent = {n: chance.uniform(0, 10_000) for n in range(1, 4001)}
shard.update(
    q.UpdateOperation.upsert_points(
        [q.Point(id=n, vector={"v": [1.0]}, payload={"at": at, "text": repr(at)}) for n, at in sent.items()]
    )
)
got = {point.id: point.payload for point in shard.retrieve(list(sent), with_payload=True, with_vector=False)}
other = [n for n, at in sent.items() if got[n]["at"] != at]
steps = {abs(got[n]["at"] - sent[n]) / math.ulp(sent[n]) for n in other}
print(len(other), "of", len(sent), "are another number; steps away:", sorted(steps))
assert 200 < len(other) < 800, len(other)
assert steps == {1.0}, steps
assert all(float(got[n]["text"]) == at for n, at in sent.items())
PY
