"""What a package index shows of prvr: the README without links and pictures that lead nowhere there, and URLs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PAPER = "https://arxiv.org/abs/2510.27432"
PICTURE = re.compile(r"!\[([^\]]*)\]\((?!https?:)([^)]+)\)\n*")
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


class FrontMatter(MetadataHookInterface):
    """Adds what depends on where the repository is: `home` in pyproject.toml, empty as long as nobody has decided."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in the readme and the URLs."""
        home = self.config.get("home", "").rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": shown(text, home)}
        metadata["urls"] = {"Paper": PAPER} | (
            {
                "Homepage": home,
                "Documentation": f"{home}/tree/main/docs",
                "Changelog": f"{home}/blob/main/CHANGELOG.md",
                "Issues": f"{home}/issues",
            }
            if home
            else {}
        )


def shown(text: str, home: str) -> str:
    """The README with whole addresses; without a home, relative links are their words and pictures are left out."""
    text = COMMENT.sub("", text)
    text = PICTURE.sub(rf"![\1]({home}/raw/main/\2)\n\n" if home else "", text)
    return LINK.sub(rf"[\1]({home}/blob/main/\2)" if home else r"\1", text)
