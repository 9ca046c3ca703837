#!/usr/bin/env bash
# ir_measures 0.4.3 with pytrec_eval-terrier 0.5.11: one right film and one wrong one with equal scores, and with scores that
# differ in the eighth digit. RR and RR@10 are asked for in one call; with two results the cut at ten changes nothing.
# Guess: both are the same number, whatever the rule for ties is.
# Seen: RR is 0.5 and RR@10 is 1.0. The first comes from pytrec_eval, which compares scores as float32 and puts the higher
# name first where they are equal; the second from other code, which has other rules. A right film that scores
# 0.50000001 against 0.5 is second by RR, Success@1 and nDCG, and first by RR@10.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check ir-measures==0.4.3 pytrec-eval-terrier==0.5.11 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import ir_measures
from ir_measures import RR, Qrel, ScoredDoc, Success, nDCG

RIGHT = [Qrel("q", "a", 1)]
for scores in ((0.5, 0.5), (0.50000001, 0.5)):
    run = [ScoredDoc("q", name, score) for name, score in zip("ab", scores)]
    got = ir_measures.calc_aggregate([RR, RR @ 10, Success @ 1, nDCG @ 1], RIGHT, run)
    print(scores, {str(measure): round(value, 3) for measure, value in sorted(got.items(), key=str)})
    assert got[RR] == 0.5 and got[RR @ 10] == 1.0, got
    assert got[Success @ 1] == 0.0 and got[nDCG @ 1] == 0.0, got
PY
