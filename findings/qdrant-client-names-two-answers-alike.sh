#!/usr/bin/env bash
# qdrant-client 1.20.0: `models.QueryResponse`, to parse what the server answers to /points/query.
# Guess: it is the model of that answer, with `points`, as `query_points` hands it back.
# Seen: `models.QueryResponse` is the one of fastembed (id, embedding, document, score); that of the server has the same name
# in `http.models`, and `query_points` hands back the latter.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check qdrant-client==1.20.0
"$work/venv/bin/python" - <<'PY'
from qdrant_client import QdrantClient, models
from qdrant_client.http import models as rest

client = QdrantClient(":memory:")
client.create_collection("c", models.VectorParams(size=2, distance=models.Distance.DOT))
client.upsert("c", [models.PointStruct(id=1, vector=[1.0, 0.0])])
answer = client.query_points("c", query=[1.0, 0.0])
print(type(answer).__module__, sorted(models.QueryResponse.model_fields), sorted(rest.QueryResponse.model_fields))
assert isinstance(answer, rest.QueryResponse)
assert not isinstance(answer, models.QueryResponse)
assert "points" in rest.QueryResponse.model_fields
assert "points" not in models.QueryResponse.model_fields
assert "embedding" in models.QueryResponse.model_fields
PY
