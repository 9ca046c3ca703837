"""What a server is told when it starts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from prvr.core.errors import ConfigError
from prvr.core.places import is_loopback

OURS = [
    [name] for name in ("v1", "assets", "plain", "style.css", "openapi.json", "healthz", "readyz", "metrics", "mcp")
]


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """One server: one library, one index folder."""

    folder: Path  # of the index
    host: str = "127.0.0.1"
    port: int = 8765  # 0: any that is free
    root_path: str = ""  # of a proxy, below which the server is reached: `/prvr`
    token: str | None = None  # sha256 of the token that programs must send, hex; None: nothing is asked, loopback only
    shared: bool = False  # a proxy lets others in, although only loopback is listened to
    keyring: Path | None = None  # the user's own folder for links and sessions; None: they end with the server
    roots: tuple[Path, ...] = field(default_factory=lambda: (Path.home(),))  # below which folders may be added
    watch: tuple[Path, ...] = ()  # folders of which what is new is read from now on; whole paths
    mcp: bool = False  # assistants find the library's tools at /mcp
    encoder: str | None = None  # where the index's encoder lies now, if it was moved
    device: str = "auto"
    max_body_bytes: int = 256_000
    max_image_bytes: int = 10_000_000
    max_clip_bytes: int = 100_000_000  # of a clip whose film is asked for
    max_query_chars: int = 2000
    rate_per_minute: int = 600  # of one client that is not on this machine
    connections: int = 512  # at a time; of one client half as many answers
    streams: int = 16  # of events, of one client
    head_s: float = 15.0  # for all of a request's head to arrive
    body_s: float = 60.0  # and for its body
    waiting: int = 128  # questions in line before new ones are sent away
    together: int = 16  # questions that are answered in one go
    proxies: int = 1  # jobs on media at a time
    cache_bytes: int = 5_000_000_000  # of thumbnails, proxies and exports on the disk

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(f"host {self.host}: others can reach it, so a token is needed; leave --no-token out")
        if not re.fullmatch(r"(/(?!\.)[\w.~-]+)*", self.root_path, re.ASCII) or self.root_path.split("/")[1:2] in OURS:
            raise ConfigError(
                f"root path {self.root_path!r}: write it as /prvr, in plain letters, and not as one of the server's own"
            )
        if self.mcp:
            need_mcp()
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port {self.port}: choose one between 0 and 65535")

    @property
    def local(self) -> bool:
        """Whether only this machine can ask: then paths are shown and folders may be added."""
        return is_loopback(self.host) and not self.shared


def need_mcp() -> None:
    """Raises ConfigError unless what assistants are spoken to with is installed."""
    if find_spec("mcp") is None:
        raise ConfigError("assistants need the package mcp, which is not installed: pip install 'prvr[mcp]'")
