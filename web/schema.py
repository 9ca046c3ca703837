"""The objects of the HTTP interface as `make web` hands them to openapi-typescript."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from prvr.serve.app import create_app
from prvr.serve.settings import ServeConfig
from prvr.service.desk import Desk


def text() -> str:
    """A schema with the objects and no addresses; the same objects give the same bytes. The folder is only a name."""
    folder = Path("library")
    schema = create_app(Desk(folder), ServeConfig(folder=folder)).openapi()
    objects = {"openapi": schema["openapi"], "components": schema["components"]}
    return json.dumps({**objects, "info": {"title": "prvr", "version": ""}, "paths": {}}, indent=1, sort_keys=True)


if __name__ == "__main__":
    sys.stdout.write(text())
