"""Files read by workers on two nodes: as one machine reads them, whatever ends on the way."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from prvr.cluster.reading import PathMap
from prvr.core.errors import ConfigError
from tests.cluster.make import OURS, QUICK, Nodes, library, prvr

pytestmark = pytest.mark.cluster
PATIENCE_S = 300
VIDEOS = 60


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head that works on nothing, and a node of one core."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'prvr[ray]'")
    with Nodes() as cluster:
        cluster.add()
        yield cluster


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library(tmp_path_factory.mktemp("library") / "videos", videos=VIDEOS)


@pytest.fixture(scope="module")
def alone(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one machine makes of them."""
    out = tmp_path_factory.mktemp("alone") / "store"
    done = run("extract", videos, "--encoder", "world", "--out", out)
    assert done.returncode == 0, done.stderr
    return made(out)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(prvr(*arguments), capture_output=True, text=True, env=OURS, timeout=PATIENCE_S, check=False)


def made(store: Path) -> dict[str, bytes]:
    """The files of a store, by name."""
    return {path.name: path.read_bytes() for path in (store / "videos").iterdir()}


def until(store: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many videos are in a store that a process writes."""
    end = time.monotonic() + PATIENCE_S
    while len(list((store / "videos").glob("*.safetensors"))) < count:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(prvr(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=OURS)


def arguments_of(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return []


def processes(title: str) -> list[int]:
    """Those whose command line begins with this."""
    pids = [int(place.name) for place in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if arguments_of(pid)[:1] and arguments_of(pid)[0].startswith(title)]


def test_a_node_that_goes_midway_loses_nothing(
    nodes: Nodes, videos: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    second, out = nodes.add(), tmp_path / "store"
    with start("extract", videos, "--encoder", "world", "--out", out, "--on", nodes.on, "--json") as process:
        until(out, VIDEOS // 3, process)
        nodes.remove(second)
        told, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    answer = json.loads(told)
    assert len(answer["made"]) == len(set(answer["made"])) == VIDEOS  # nothing lost, nothing twice
    assert answer["failed"] == {}
    assert made(out) == alone  # to the bit


def test_a_driver_that_is_killed_five_times_does_only_what_is_missing(
    nodes: Nodes, videos: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "store"
    command = ("extract", videos, "--encoder", "world", "--out", out, "--on", nodes.on)
    for kill in range(1, 6):
        with start(*command) as process:
            until(out, kill * VIDEOS // 8, process)
            process.send_signal(signal.SIGKILL)
    there = {path.name: path.stat().st_mtime_ns for path in (out / "videos").glob("*.safetensors")}
    done = run(*command, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert len(answer["kept"]) >= len(there) - 1  # a worker may have finished one since
    assert len(answer["made"]) + len(answer["kept"]) == VIDEOS
    now = {path.name: path.stat().st_mtime_ns for path in (out / "videos").iterdir()}
    assert {name: now[name] for name in there} == there  # nothing was read again
    assert made(out) == alone


def test_ctrl_c_stops_and_leaves_what_is_finished(nodes: Nodes, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    command = ("extract", videos, "--encoder", "world", "--out", out, "--on", nodes.on)
    with start(*command) as process:
        until(out, 5, process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Stopped safely" in said
    assert "Traceback" not in said
    assert len(list((out / "videos").glob("*.safetensors"))) < VIDEOS


def test_ctrl_c_ends_where_the_cluster_says_nothing_any_more(nodes: Nodes, videos: Path, tmp_path: Path) -> None:
    """Ray's client would wait for ever: the process that it speaks to is stopped, as that of a machine that sleeps."""
    out = tmp_path / "store"
    with start("extract", videos, "--encoder", "world", "--out", out, "--on", nodes.on) as process:
        until(out, 3, process)
        servers = [pid for pid in processes(sys.executable) if "--mode=specific-server" in arguments_of(pid)]
        for pid in servers:
            os.kill(pid, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
        for pid in servers:
            os.kill(pid, signal.SIGKILL)
    assert servers
    assert process.returncode == 130
    assert "Stopped safely" in said


def test_two_drivers_on_one_store_are_one_too_many(nodes: Nodes, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    command = ("extract", videos, "--encoder", "world", "--out", out, "--on", nodes.on)
    with start(*command) as process:
        until(out, 3, process)
        process.send_signal(signal.SIGSTOP)  # it holds the store, and is not done before the other one comes
        second = run(*command)
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    assert second.returncode == 1
    assert "another prvr process is writing here" in second.stderr


def test_features_are_sent_back_and_paths_are_others_there(
    nodes: Nodes, videos: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    """Workers know the folder by another name and see no store; a bad file is one line, named as here."""
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(videos, there / "videos")
    (there / "videos" / "bad.mp4").write_bytes(b"no video at all" * 100)
    here.symlink_to(there)
    command = (
        "extract",
        here / "videos",
        "--encoder",
        "world",
        "--out",
        tmp_path / "store",
        "--on",
        nodes.on,
        "--json",
    )
    done = run(*command, "--fetch", "--map", f"{here}={there}")
    assert done.returncode == 3, done.stderr
    assert list(json.loads(done.stdout)["failed"]) == [str(here / "videos" / "bad.mp4")]
    assert str(there) not in done.stderr
    assert made(tmp_path / "store").keys() == alone.keys()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--map", "{videos}=/nowhere"), r"node 127.0.0.1 \(\w{6}\): sees no /nowhere; mount it there, or .* --map"),
        (("--map", "{out}=/nowhere"), r"does not see the folder /nowhere as it is here; .*--fetch sends features back"),
        (("--gpus-per-worker", "1"), r"no node of the cluster has the 1 CPU and 1 GPU that a worker is to have"),
        (("--cpus-per-worker", "64"), r"no node of the cluster has the 64 CPU that a worker is to have"),
    ],
)
def test_what_workers_do_not_have_is_one_line_before_any_work(
    nodes: Nodes, videos: Path, tmp_path: Path, options: tuple[str, str], told: str
) -> None:
    out = tmp_path / "store"
    filled = [option.format(videos=videos, out=out) for option in options]
    done = run("extract", videos, "--encoder", "world", "--out", out, "--on", nodes.on, *filled)
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert re.search(told, line), done.stderr
    assert "Traceback" not in done.stderr
    assert not made(out)


def test_a_node_with_another_prvr_is_named_before_any_work(nodes: Nodes, videos: Path, tmp_path: Path) -> None:
    import prvr as package

    other = shutil.copytree(
        Path(package.__file__).parent, tmp_path / "other" / "prvr", ignore=shutil.ignore_patterns("page")
    )
    (other / "core" / "text.py").write_text((other / "core" / "text.py").read_text() + "\n# changed\n")
    name, out = nodes.add(PYTHONPATH=f"{other.parent}:{QUICK}"), tmp_path / "store"
    try:
        done = run("extract", videos, "--encoder", "world", "--out", out, "--on", nodes.on)
    finally:
        nodes.remove(name)
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert re.search(
        r"node 127\.0\.0\.1 \(\w{6}\) has prvr \S+ \(\w{8}\) \(here \S+ \(\w{8}\)\); install the same", line
    )
    assert not made(out)


def test_an_encoder_that_only_the_driver_has_is_named(nodes: Nodes, videos: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from functools import partial; from pathlib import Path\n"
        "from prvr.cluster.reading import RayWorkers\n"
        "from prvr.core.errors import PrvrError\n"
        "from prvr.encoders.loading import load_encoder\n"
        "from prvr.features.extract import extract\n"
        "place = RayWorkers(on=sys.argv[1], load=partial(load_encoder, '/only/here', fetching=False))\n"
        "try:\n"
        "    extract([Path(sys.argv[2])], load_encoder('world'), Path(sys.argv[3]), place=place)\n"
        "except PrvrError as error:\n"
        "    print(error)\n"
    )
    out = tmp_path / "store"
    command = [*prvr()[:1], "-c", code, nodes.on, str(videos), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=OURS, timeout=PATIENCE_S, check=True)
    assert re.fullmatch(
        r"node \S+ \(\w{6}\): /only/here: no such folder; .*; workers open it there, nothing is sent to them",
        done.stdout.strip(),
    )
    assert not made(out)


def test_an_index_is_made_by_workers_as_by_threads(nodes: Nodes, videos: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("threads", "workers")]
    few = [videos / f"{number:02d}.mp4" for number in range(6)]
    for folder, options in zip(folders, ((), ("--on", nodes.on)), strict=True):
        done = run("index", *few, "--encoder", "world", "--index", folder, *options)
        assert done.returncode == 0, done.stderr
    answers = [run("search", "a red ball", "--index", folder, "--json").stdout for folder in folders]
    first, second = (
        json.loads(answer.replace(str(folder), "")) for answer, folder in zip(answers, folders, strict=True)
    )
    assert first == second


@pytest.fixture(scope="module")
def three(nodes: Nodes) -> Nodes:
    """The node and two more: room for a worker and the two decoders that feed it."""
    nodes.add()
    nodes.add()
    return nodes


def test_a_worker_that_is_fed_makes_the_same_features_though_a_decoder_ends(
    three: Nodes, videos: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    """The file that the decoder had in hand is read once more; another decoder takes its place."""
    out, feeding = tmp_path / "store", ("--workers", "1", "--decoders", "2")
    with start("extract", videos, "--encoder", "world", "--out", out, "--on", three.on, *feeding, "--json") as process:
        until(out, 5, process)
        first, second = processes("ray::Decoder")
        os.kill(first, signal.SIGKILL)
        told, said = process.communicate(timeout=PATIENCE_S)
    assert second != first
    assert process.returncode == 0, said
    assert len(json.loads(told)["made"]) == VIDEOS
    assert made(out) == alone


@pytest.mark.parametrize("decoders", ["0", "2"])
def test_a_file_that_kills_its_workers_is_set_aside_after_two(
    three: Nodes, videos: Path, tmp_path: Path, decoders: str
) -> None:
    """The encoder dies of one video; the others are read, and so is one whose worker dies once for another reason."""
    root = tmp_path / "videos"
    root.mkdir()
    for name in ("a.mp4", "b.mp4", "deadly.mp4", "z.mp4"):
        shutil.copy(videos / "00.mp4", root / name)
    shutil.copy(videos / "01.mp4", root / "deadly.mp4")  # four seconds, the others three
    script = Path(__file__).with_name("deadly.py")
    out = tmp_path / "store"
    command = [*prvr()[:1], str(script), three.on, str(root), str(out), str(tmp_path / "deaths"), decoders]
    done = subprocess.run(command, capture_output=True, text=True, env=OURS, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["made"] == ["a.mp4", "b.mp4", "z.mp4"]
    (line,) = answer["failed"]
    assert line.startswith(f"{root / 'deadly.mp4'}: ended the worker that read it")
    assert (tmp_path / "deaths").read_text() == "died\n" * 2


def test_a_map_is_two_whole_paths() -> None:
    mapped = PathMap(["/mnt/a=/data/a", "/mnt=/other"])
    assert mapped.there(Path("/mnt/a/b.mp4")) == Path("/data/a/b.mp4")
    assert mapped.there(Path("/mnt/b.mp4")) == Path("/other/b.mp4")
    assert mapped.there(Path("/mnt/ab")) == Path("/other/ab")
    assert mapped.there(Path("/else")) == Path("/else")
    for wrong in ("", "/a", "/a=", "a=/b", "/a=b"):
        with pytest.raises(ConfigError, match="expected HERE=THERE, two whole paths"):
            PathMap([wrong])
