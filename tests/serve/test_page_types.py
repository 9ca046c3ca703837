"""The page's types are those of the API: made from its schema, and a slip between the two is seen here."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
MADE = WEB / "src" / "schema.ts"


@pytest.fixture(scope="module")
def objects() -> str:
    """What `make web` hands over."""
    text: str = runpy.run_path(str(WEB / "schema.py"))["text"]()
    return text


def test_the_page_was_made_from_this_schema(objects: str) -> None:
    found = re.search(r"[0-9a-f]{64}", MADE.read_text().partition("\n")[0])
    assert found, f"{MADE}: its first line holds no fingerprint; run `make web`"
    assert found[0] == hashlib.sha256(objects.encode()).hexdigest(), "the API has changed; run `make web` and commit it"


def test_every_object_of_the_schema_is_a_type_and_the_page_copies_none(objects: str) -> None:
    names = set(re.findall(r"^    ([A-Z]\w+): \{$", MADE.read_text(), re.MULTILINE))
    assert names == json.loads(objects)["components"]["schemas"].keys()
    assert "interface" not in (WEB / "src" / "api.ts").read_text()


def test_made_again_they_are_the_same(objects: str) -> None:
    node = shutil.which("node")
    if node is None or not (WEB / "node_modules" / "openapi-typescript").is_dir():
        pytest.skip("Node, or what `npm install` brings into web/, is not here")
    again = subprocess.run([node, "types.mjs"], cwd=WEB, input=objects, capture_output=True, text=True, check=True)
    assert again.stdout == MADE.read_text()
