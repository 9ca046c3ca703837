"""The page of the HTTP interface, made from its OpenAPI schema when the site is built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prvr.serve.app import create_app
from prvr.serve.settings import ServeConfig
from prvr.service.desk import Desk

MARK = "<!-- made at build time: http -->"
COMMON = ("400", "401", "403", "413", "421", "422", "429", "500", "503")  # said once, on top


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs asks this for every page."""
    return markdown.replace(MARK, page(schema())) if MARK in markdown else markdown


def schema() -> dict[str, Any]:
    """The schema that a server has at /openapi.json; the folder is only a name."""
    folder = Path("library")
    return create_app(Desk(folder), ServeConfig(folder=folder)).openapi()


def page(told: dict[str, Any]) -> str:
    """Every address by what it is about, then every object with its fields."""
    found = [(verb.upper(), path, one) for path, verbs in told["paths"].items() for verb, one in verbs.items()]
    lines = ["Any address may answer with these, as an [Error](#object-error):", "", *table(("status", "meaning"))]
    (first, *_) = [one["responses"] for _, _, one in found]
    lines += [f"| {status} | {first[status]['description']} |" for status in COMMON]
    for tag in dict.fromkeys(one["tags"][0] for _, _, one in found):
        lines += ["", f"## {tag.capitalize()}", ""]
        for verb, path, one in found:
            if one["tags"][0] == tag:
                lines += address(verb, path, one)
    lines += ["", "## Objects", ""]
    for name, one in sorted(told["components"]["schemas"].items()):
        lines += thing(name, one)
    return "\n".join(lines)


def address(verb: str, path: str, one: dict[str, Any]) -> Iterator[str]:
    """One operation: what it does, what it takes, what it answers."""
    yield from (f"### {one['summary']} {{#{one['operationId']}}}", "", f"`{verb} {path}`", "")
    yield from (one.get("description", ""), "")
    if takes := one.get("parameters"):
        yield from table(("parameter", "in", "type", "meaning"))
        for each in takes:
            needed = "" if each.get("required") else " (optional)"
            meaning = each.get("description") or ""
            yield f"| `{each['name']}`{needed} | {each['in']} | {kind(each['schema'])} | {meaning} |"
        yield ""
    if body := one.get("requestBody"):
        yield from (f"Body: {', '.join(form(*each) for each in body['content'].items())}", "")
    for status, answer in one["responses"].items():
        if status not in COMMON:
            said = answer["description"].replace("Successful Response", "done")
            forms = ", ".join(form(*each) for each in answer.get("content", {}).items())
            yield f"- **{status}**: {said}{f': {forms}' if forms else ''}"
    yield ""


def thing(name: str, one: dict[str, Any]) -> Iterator[str]:
    """One object with its fields."""
    yield from (f"### {name} {{#{place(name)}}}", "", one.get("description", ""), "")
    fields = one.get("properties", {})
    if fields:
        yield from table(("field", "type", "meaning"))
    for key, each in fields.items():
        needed = "" if key in one.get("required", ()) else " (optional)"
        meaning = (each.get("description") or "").replace("\n", " ").replace("|", "\\|")
        yield f"| `{key}`{needed} | {kind(each)} | {meaning} |"
    yield ""


def form(media: str, one: dict[str, Any]) -> str:
    """A media type and what is in it."""
    inside = kind(one["schema"]) if "schema" in one else ""
    return inside if media == "application/json" and inside else f"`{media}`"


def kind(one: dict[str, Any]) -> str:
    """A type in a word or two, with a link where it is an object."""
    if "$ref" in one:
        name = one["$ref"].rpartition("/")[2]
        return f"[{name}](#{place(name)})"
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in one:
            return " or ".join(dict.fromkeys(kind(each) for each in one[choice]))
    if "enum" in one or "const" in one:
        return " or ".join(f"`{each}`" for each in one.get("enum", [one.get("const")]))
    if one.get("type") == "array":
        return f"list of {kind(one['items'])}" if "items" in one else "list"
    return str(one.get("type", "any"))


def place(name: str) -> str:
    """The anchor of an object; operations have theirs under their own names."""
    return f"object-{name.lower()}"


def table(names: tuple[str, ...]) -> list[str]:
    """The head of a table."""
    return [f"| {' | '.join(names)} |", "| --- " * len(names) + "|"]
