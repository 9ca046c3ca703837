"""Whatever the schema allows, and what it does not, gets an answer that the schema describes."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.testclient import TestClient

from prvr.service.sessions import digest_of
from tests.serve.conftest import Live, asking, config_of, serving
from tests.serve.test_api_security import TOKEN, with_token

EXAMPLES = int(os.environ.get("PRVR_SCHEMA_EXAMPLES", "12"))  # `python -m benchmarks.schema` asks thousands, in chains
# Not every string is a query (`"a` is not), so valid by the schema is not yet valid.
NOT_CHECKED = [positive_data_acceptance]
OPERATIONS = [
    "POST /v1/search",
    "GET /v1/search",
    "POST /v1/search/image",
    "GET /v1/videos/{video_id}/scores",
    "GET /v1/videos/{video_id}/why",
    "POST /v1/locate",
    "GET /v1/saved",
    "POST /v1/saved",
    "GET /v1/saved/{search_id}",
    "DELETE /v1/saved/{search_id}",
    "GET /v1/libraries",
    "POST /v1/libraries",
    "GET /v1/videos",
    "GET /v1/videos/{video_id}",
    "PATCH /v1/videos/{video_id}",
    "DELETE /v1/videos/{video_id}",
    "GET /v1/videos/{video_id}/stream",
    "POST /v1/videos/{video_id}/proxy",
    "GET /v1/videos/{video_id}/thumb",
    "GET /v1/videos/{video_id}/subtitles",
    "POST /v1/videos/{video_id}/reveal",
    "POST /v1/videos/{video_id}/open",
    "GET /v1/videos/{video_id}/transcript",
    "GET /v1/videos/{video_id}/transcript/{form}",
    "POST /v1/exports",
    "GET /v1/exports/{export_id}/file",
    "GET /v1/jobs",
    "GET /v1/jobs/{job_id}",
    "DELETE /v1/jobs/{job_id}",
    "GET /v1/jobs/{job_id}/events",
    "POST /v1/jobs/{job_id}/resume",
    "GET /v1/folders",
    "PATCH /v1/folders/{folder_id}",
    "DELETE /v1/folders/{folder_id}",
    "GET /v1/places",
    "GET /v1/models",
    "POST /v1/models",
    "GET /v1/failures",
    "POST /v1/failures",
    "DELETE /v1/failures/{failure_id}",
    "GET /v1/failures.csv",
    "POST /v1/session",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
]


@pytest.fixture(scope="module")
def guarded(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """With a token, so that no folder of this machine can be read into it."""
    own = Path(shutil.copytree(library, tmp_path_factory.mktemp("schema") / "library"))
    with serving(config_of(own, token=digest_of(TOKEN), shared=True)) as found:
        yield found


@pytest.fixture(scope="module")
def schema(guarded: Live) -> Any:
    found = httpx2.get(f"{guarded.url}/openapi.json", headers=with_token()).json()
    del found["security"], found["components"]["securitySchemes"]  # or the token would be what is wrong
    loaded = schemathesis.openapi.from_dict(found)
    loaded.config.update(base_url=guarded.url)
    rejection = loaded.config.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]  # a wrong body may also be too large
    return loaded


def test_every_operation_is_tried(schema: Any) -> None:
    assert [one.ok().label for one in schema.get_all_operations()] == OPERATIONS


POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
ANYTHING = [
    label
    for label in OPERATIONS
    if re.search(r"GET /v1/(?:libraries|folders|models|saved)$|/v1/jobs|/v1/locate$|z$|metrics$|csv$", label)
]  # goes there
BOTH = [(label, mode) for label in OPERATIONS for mode in (POSITIVE, NEGATIVE)]


@pytest.mark.parametrize("label, mode", [pair for pair in BOTH if pair[0] not in ANYTHING or pair[1] != NEGATIVE])
def test_answers_are_as_described(schema: Any, label: str, mode: GenerationMode) -> None:
    method, path = label.split(" ")
    operation = schema[path][method]
    seen: Counter[int] = Counter()

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def tried(case: Any) -> None:
        named = "video_id" in (case.path_parameters or {}) and mode == POSITIVE
        if named and seen.total() % 2:
            case.path_parameters["video_id"] = f"w{seen.total() % 12:04}.webm"  # one that is there
        seen[case.call_and_validate(headers=with_token(), excluded_checks=NOT_CHECKED).status_code] += 1

    tried()
    assert not any(status >= 500 for status in seen)


def test_the_schema_says_what_everything_is(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    for operations in schema["paths"].values():
        for one in operations.values():
            assert one["summary"]
            assert one["description"]
    for name, one in schema["components"]["schemas"].items():
        assert one.get("description"), name


def test_links_lead_to_routes_that_take_what_they_give(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    operations = [one for by_method in schema["paths"].values() for one in by_method.values()]
    takes = {one["operationId"]: {part["name"] for part in one.get("parameters", ())} for one in operations}
    answers = [answer for one in operations for answer in one["responses"].values()]
    links = [link for answer in answers for link in answer.get("links", {}).values()]
    assert len(links) > 50
    for link in links:
        assert set(link["parameters"]) <= takes[link["operationId"]]


def test_the_token_is_in_the_schema_where_one_is_needed(guarded: Live, client: TestClient, library: Path) -> None:
    found = httpx2.get(f"{guarded.url}/openapi.json", headers=with_token()).json()
    assert found["security"] == [{"token": []}]
    assert found["paths"]["/healthz"]["get"]["security"] == found["paths"]["/v1/session"]["post"]["security"] == []
    assert client.get("/openapi.json").json()["security"] == [{"token": []}]
    with asking(config_of(library, token=None)) as anybody:
        assert "security" not in anybody.get("/openapi.json").json()
