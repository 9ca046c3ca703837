"""Files beside docs/ (changelog, security, contributing) as pages of the site, links to them, and the icon."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
# Pages of which a checkout may have some only, and the part of the site that each is in.
PARTS = {"formats.md": "Reference", "contributing.md": "Explanation"}
PAGES = {"CHANGELOG.md": "changelog.md", "SECURITY.md": "security.md", "CONTRIBUTING.md": "contributing.md"}


def on_config(config: Any) -> Any:
    """Add what is there of PARTS to the navigation."""
    sources = {page: ROOT / name for name, page in PAGES.items()}
    for page, part in PARTS.items():
        if sources.get(page, ROOT / "docs" / page).exists():
            next(one[part] for one in config["nav"] if part in one).append(page)
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add those that are there; their links into docs/ become links of the site."""
    for name, page in PAGES.items():
        if (ROOT / name).exists():
            text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
            files.append(File.generated(config, page, content=renamed(text, "")))
    files.append(File.generated(config, "favicon.svg", content=(ROOT / "web/src/icon.svg").read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Links from docs/ to a file beside it lead to its page."""
    return renamed(markdown, "../" * page.file.src_uri.count("/"), up="../" * (page.file.src_uri.count("/") + 1))


def renamed(text: str, base: str, *, up: str = "") -> str:
    """`](UPCHANGELOG.md` -> `](BASEchangelog.md`."""
    for name, page in PAGES.items():
        text = re.sub(rf"\]\({re.escape(up)}{re.escape(name)}", f"]({base}{page}", text)
    return text
