"""GET /docs: the reference of the API, made from its schema; one page, no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

Json = Mapping[str, Any]
HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<link rel="stylesheet" href="/style.css"><title>prvr API</title></head><body><main>'
)


def reference(schema: Json) -> str:
    """The whole page."""
    parts = [HEAD, f"<h1>{escape(schema['info']['title'])} {escape(schema['info']['version'])}</h1>"]
    parts += [f"<p>{escape(line)}</p>" for line in schema["info"]["description"].split("\n\n")]
    parts.append('<p>For machines: <a href="/openapi.json">/openapi.json</a>.</p><h2>Addresses</h2><ul>')
    operations = [(path, method, one) for path, item in schema["paths"].items() for method, one in item.items()]
    for path, method, one in operations:
        parts.append(
            f'<li><a href="#{escape(one["operationId"])}"><code>{method.upper()} {escape(path)}</code></a> '
            f"{escape(one.get('summary', ''))}</li>"
        )
    parts.append("</ul>")
    for path, method, one in operations:
        parts += _operation(path, method, one)
    parts.append("<h2>Objects</h2>")
    for name, one in schema["components"]["schemas"].items():
        parts += _object(name, one)
    return "".join([*parts, "</main></body></html>"])


def _operation(path: str, method: str, one: Json) -> Iterator[str]:
    yield f'<section id="{escape(one["operationId"])}"><h3><code>{method.upper()} {escape(path)}</code></h3>'
    yield f"<p>{escape(one.get('summary', ''))}. {escape(one.get('description', ''))}</p>"
    if parameters := one.get("parameters"):
        yield from _table(
            ("parameter", "in", "type", "meaning"),
            [
                (
                    item["name"] + ("" if not item.get("required") else " *"),
                    item["in"],
                    kind(item["schema"]),
                    escape(item.get("description", "")),
                )
                for item in parameters
            ],
        )
    if asked := one.get("requestBody"):
        kinds = [f"{escape(name)}: {kind(item['schema'])}" for name, item in asked["content"].items()]
        yield f"<p>Body: {'; '.join(kinds)}</p>"
    rows = [
        (status, escape(item.get("description", "")), ", ".join(_of(item))) for status, item in one["responses"].items()
    ]
    yield from _table(("status", "meaning", "body"), sorted(rows))
    yield "</section>"


def _of(response: Json) -> Iterator[str]:
    for media, item in response.get("content", {}).items():
        yield kind(item["schema"]) if media == "application/json" and item.get("schema") else escape(media)


def _object(name: str, one: Json) -> Iterator[str]:
    yield f'<section id="object-{escape(name)}"><h3>{escape(name)}</h3><p>{escape(one.get("description", ""))}</p>'
    required = one.get("required", ())
    rows = [
        (escape(field) + (" *" if field in required else ""), kind(item), escape(item.get("description", "")))
        for field, item in one.get("properties", {}).items()
    ]
    if rows:
        yield from _table(("field", "type", "meaning"), rows)
    yield "</section>"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Cells are HTML already."""
    yield "<table><thead><tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr></thead><tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
    yield "</tbody></table>"


def kind(schema: Json) -> str:
    """A type in a few words, as HTML: objects are links."""
    if reference_ := schema.get("$ref"):
        name = escape(reference_.rpartition("/")[2])
        return f'<a href="#object-{name}">{name}</a>'
    if choices := schema.get("anyOf") or (schema.get("oneOf") and "type" not in schema and schema["oneOf"]):
        return " or ".join(kind(one) for one in choices)
    if "const" in schema:
        return f"<code>{escape(repr(schema['const']))}</code>"
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}" if "items" in schema else "list"
    bounds = [
        f"{word} {schema[name]:g}"
        for name, word in (("minimum", "from"), ("maximum", "to"), ("maxLength", "at most"))
        if name in schema
    ]
    letters = " characters" if "maxLength" in schema else ""
    return escape(" ".join([str(schema.get("type", "anything")), *bounds]) + letters)
