"""The command line."""

from prvr.cli.front import build_parser, main

__all__ = ["build_parser", "main"]
