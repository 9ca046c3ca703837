"""What `--on` may say, and what is said where there is no such cluster, or one of other versions."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest

from prvr.cluster import opening
from prvr.cluster.nodes import check_same, installed
from prvr.cluster.opening import LOOPBACK, ClusterAddress, in_time, open_cluster, parse_on
from prvr.core.errors import ClusterError, ConfigError
from tests.cluster.make import OURS


def test_on_is_this_machine_or_an_address() -> None:
    assert parse_on("ray") is None
    assert parse_on("ray://head:10001") == ClusterAddress("head", 10001)
    assert parse_on("ray://[::1]:10001") == ClusterAddress("::1", 10001)
    assert str(ClusterAddress("head", 10001)) == "ray://head:10001"
    assert str(ClusterAddress("::1", 10001)) == "ray://[::1]:10001"


@pytest.mark.parametrize(
    "text", ["", "rays", "ray:", "ray://", "ray://head", "ray://:1", "ray://head:0", "ray://head:70000", "head:1"]
)
def test_another_word_says_what_is_expected(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected ray for this machine, or ray://HOST:PORT"):
        parse_on(text)


def test_no_cluster_at_an_address_is_one_line_at_once() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'prvr[ray]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        on = f"ray://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ClusterError) as told, open_cluster(on):
            pass
    assert str(told.value).startswith(
        f"--on {on}: nobody answers there (Connection refused); check that a cluster runs"
    )
    assert "\n" not in str(told.value)


def test_nobody_waits_for_what_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "END_S", 0.05)
    never = threading.Event()
    assert not in_time(never.wait)
    never.set()
    assert in_time(never.wait)
    assert in_time(lambda: 1 / 0)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"needs Ray, which is not installed; .*prvr\[ray\]"), open_cluster("ray"):
        pass


def test_nodes_that_differ_are_named_with_all_that_differs() -> None:
    ours = {"Python": "3.11", "prvr": "1.0 (abc)", "torch": "2.13.0"}
    check_same(ours, {"node a": dict(ours), "node b": {**ours, "more": "1"}}, "install the same there")
    theirs = {"node a": dict(ours), "node b": {"Python": "3.11", "prvr": "", "torch": "2.12.0"}}
    with pytest.raises(ClusterError) as told:
        check_same(ours, theirs, "install the same there")
    assert str(told.value) == (
        "node b has prvr missing (here 1.0 (abc)), torch 2.12.0 (here 2.13.0); install the same there"
    )


def test_what_is_installed_is_told_with_a_sum_of_the_code() -> None:
    from prvr import __version__

    assert installed()["prvr"].startswith(f"{__version__} (")
    assert all(installed()[name] for name in ("Python", "torch", "av"))


@pytest.mark.cluster
def test_one_of_our_own_is_opened_twice_on_loopback_and_leaves_nothing() -> None:
    """Each with its nodes compared; what listens is on loopback, and ends."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'prvr[ray]'")
    code = (
        "import os\n"
        "from prvr.cluster.nodes import check_nodes\n"
        "from prvr.cluster.opening import open_cluster\n"
        "before = dict(os.environ)\n"
        "for _ in range(2):\n"
        "    with open_cluster('ray', cpus=1) as ray:\n"
        "        check_nodes(ray, needs={'CPU': 1})\n"
        "        print(*[node['NodeManagerAddress'] for node in ray.nodes()])\n"
        "print({name for name in os.environ if 'TOKEN' in name} - before.keys())\n"
    )
    environment = {name: value for name, value in OURS.items() if name not in ("RAY_AUTH_MODE", LOOPBACK)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=500, check=False
    )
    assert done.stdout.splitlines() == ["127.0.0.1", "127.0.0.1", "set()"], done.stderr
