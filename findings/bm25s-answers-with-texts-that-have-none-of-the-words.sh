#!/usr/bin/env bash
# bm25s 0.3.16: a word that no text has, and one that a single text has, three results asked for.
# Guess: nothing for the first, one result for the second, as full-text search answers.
# Seen: always three. What has none of the words fills up with a score of 0.0, the last texts first: their order is no rank. A
# letter that stands alone ("vitamin c") is no word for its tokenizer, so that asking for it answers the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check bm25s==0.3.16 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import bm25s

TEXTS = ["a cat runs", "a dog in the rain", "cars drive by", "vitamin c helps"]
index = bm25s.BM25()
index.index(bm25s.tokenize(TEXTS, show_progress=False), show_progress=False)


def found(query):
    answer = index.retrieve(bm25s.tokenize(query, show_progress=False), k=3, show_progress=False)
    return list(zip(answer.documents[0].tolist(), [round(score, 2) for score in answer.scores[0].tolist()]))


for query in ("zebra", "cat", "c"):
    print(query, found(query))
assert found("zebra") == found("c") == [(3, 0.0), (2, 0.0), (1, 0.0)]
assert found("cat")[0][0] == 0 and found("cat")[0][1] > 0
assert found("cat")[1:] == [(3, 0.0), (2, 0.0)]
PY
