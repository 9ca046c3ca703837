"""A Ray cluster is opened: one of this machine's own, or one that runs already.

Ray is imported only here and only when it is asked for. A cluster of our own listens on loopback, asks whoever comes
for a token that only our processes have, tells nobody that it is used, and ends when it is left. Workers import the
prvr that is installed where they run; nothing of it is sent to them, and `nodes.check_nodes` compares.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import Any, NamedTuple

from prvr.core.errors import ClusterError, ConfigError

OWN = "ray"  # a cluster of this machine's own
REACH_S = 5.0  # until an address that does not answer is given up
END_S = 20.0  # that taking leave may last: for a cluster that says nothing any more Ray's client waits for ever
AWAY_S = "10"  # until a cluster takes a driver that says nothing for dead, and frees its workers for the next one
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0" of it, as on those systems, keeps Ray on loopback
TRIES = 3  # to start a cluster, or a server of one for us: Ray gives them 15 s to come up, which a busy machine may not
STORE_BYTES = 256 << 20  # for what travels between processes of our own cluster: features are small
INSTALL = "install it with `pip install 'prvr[ray]'`"


class ClusterAddress(NamedTuple):
    """Where a Ray client server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"ray://{self.host}:{self.port}" if ":" not in self.host else f"ray://[{self.host}]:{self.port}"


def parse_on(text: str) -> ClusterAddress | None:
    """What `--on` says: `ray` is this machine (None), `ray://HOST:PORT` a cluster. Raises ConfigError for all else."""
    if text == OWN:
        return None
    host, colon, port = text.removeprefix("ray://").rpartition(":")
    if text.startswith("ray://") and colon and host.strip("[]") and port.isdecimal() and 0 < int(port) < 1 << 16:
        return ClusterAddress(host.strip("[]"), int(port))
    raise ConfigError(
        f"--on {text}: expected ray for this machine, or ray://HOST:PORT for a cluster (its port is 10001)"
    )


@contextmanager
def open_cluster(on: str, *, cpus: int | None = None, store_bytes: int = 0) -> Iterator[Any]:
    """Ray, connected to the cluster that `--on` names, until this is left: the module, to be used as its guide says.

    `cpus` are those that a cluster of this machine's own is given; without it all; `store_bytes` what shall travel in
    it beside features. A cluster that was there stays, and
    what was started in it from here ends. Raises ConfigError for another word, ClusterError where Ray is not installed,
    nothing answers at the address, or what answers is of another version.
    """
    address = parse_on(on)
    with ExitStack() as held:
        held.enter_context(_quiet())
        if address is None:
            held.enter_context(_to_ourselves())
        ray = _ray(on)
        if ray.is_initialized():
            raise ClusterError(f"--on {on}: this process is connected to Ray already; close that (`ray.shutdown()`)")
        held.callback(_leave, ray)
        try:
            if address is None:
                _start(ray, cpus, STORE_BYTES + store_bytes)
            else:
                _connect(ray, address)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise ClusterError(f"--on {on}: {_why(error)}; {_step(on, error)}") from error
        yield ray


def in_time(action: Callable[[], object]) -> bool:
    """Whether something is done that may never end; nobody waits for it for longer than `END_S`."""

    def act() -> None:
        with suppress(Exception):  # it is gone, or its cluster is
            action()

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(END_S)
    return not thread.is_alive()


def _leave(ray: Any) -> None:
    if not in_time(ray.shutdown):
        atexit.unregister(ray.shutdown)  # it would be waited for once more as this process ends


def _ray(on: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise ClusterError(f"--on {on}: needs Ray, which is not installed; {INSTALL}") from error
    return ray


def _start(ray: Any, cpus: int | None, store_bytes: int) -> None:
    """A cluster of our own, on loopback. Raises RuntimeError where none can be started."""
    for left in reversed(range(TRIES)):
        try:
            ray.init(
                "local",  # none that runs already, whatever RAY_ADDRESS says
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=store_bytes,
                _node_ip_address="127.0.0.1",
            )
            return
        except Exception as error:  # where its processes do not come up, Ray raises that
            ray.shutdown()
            if not left:
                raise RuntimeError(str(error)) from error


def _connect(ray: Any, address: ClusterAddress) -> None:
    """A cluster that runs. Raises OSError at once where nobody listens, which Ray's client would try for a minute."""
    socket.create_connection(address, timeout=REACH_S).close()
    os.environ.setdefault("RAY_CLIENT_RECONNECT_GRACE_PERIOD", AWAY_S)
    for left in reversed(range(TRIES)):
        try:
            ray.init(str(address), log_to_driver=False, logging_level=logging.ERROR)
            return
        except (RuntimeError, ConnectionAbortedError) as error:  # where the cluster could not start what serves us
            ray.shutdown()
            if not left or _differs(error) or _refused(error):
                raise


def _why(error: Exception) -> str:
    """An error of Ray's in one line: the last of its text, or all of it where it compares versions."""
    if isinstance(error, OSError) and error.strerror:
        return f"nobody answers there ({error.strerror})"
    return " ".join(_lines(error)).rstrip(".") if _differs(error) else last_line(error)


def last_line(error: Exception) -> str:
    """What an error of Ray's says at its end, behind the traceback; its kind where it says nothing."""
    return _lines(error)[-1].rstrip(".")


def _lines(error: Exception) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]


def _differs(error: Exception) -> bool:
    return "version mismatch" in str(error).lower()


def _refused(error: Exception) -> bool:
    return "authentication" in str(error).lower()


def _step(on: str, error: Exception) -> str:
    if _differs(error):
        return "install the same Python and Ray here as there"
    if _refused(error):
        return "set RAY_AUTH_TOKEN to the token of the cluster"
    if on == OWN:
        return "try again when this machine is less busy, or leave --on out"
    return "check that a cluster runs there (`ray status` on its head) and that its client port is open"


@cache
def _token() -> str:
    """One a process: Ray reads it once, however many clusters are opened one after the other."""
    return secrets.token_hex(32)


@contextmanager
def _to_ourselves() -> Iterator[None]:
    """A cluster of our own is reached from this machine only, by who knows a word: every account reaches its ports.

    Ray takes the address of the network for the one of loopback, unless it is told that there is no cluster but this.
    """
    ours = {LOOPBACK: "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _quiet() -> Iterator[None]:
    """Nobody is told that Ray is used, and what it has to say stays in its logs."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # a worker that was given no GPU sees none
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
