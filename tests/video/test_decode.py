from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from prvr.core.errors import ConfigError
from prvr.video import frames
from prvr.video.clock import steady
from prvr.video.decode import sample_frames
from prvr.video.probe import probe
from tests.video.make import (
    Unseekable,
    cut_short,
    declare_duration_mkv,
    declare_duration_mp4,
    draw_clock,
    sampled,
    steps,
    write_video,
)


def by_the_rule(times: list[float], rate: float) -> list[float]:
    """The written rule, word by word: for k = 0, 1, ... the first frame not before k / rate, each once."""
    chosen: list[float] = []
    for k in range(int(times[-1] * rate) + 1):
        first = next(time for time in times if time >= k / rate - 1e-6 / rate)
        if first not in chosen:
            chosen.append(first)
    return chosen


# ---- the rule, by hand


def test_the_sample_is_the_first_frame_not_before_each_step(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", [0, 0.4, 0.9, 1.1, 1.5, 2.0, 2.1, 5.3, 5.6, 6.2])
    assert sampled(tmp_path / "a.mkv")[0] == [0, 1.1, 2.0, 5.3, 6.2]  # 5.3 stands in for 3, 4 and 5, and comes once


def test_a_rate_that_is_the_files_own_gives_every_frame(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(1, 100))  # 0.29 * 100 is a little less than 29
    assert sampled(tmp_path / "a.mp4", rate=100)[0] == pytest.approx(steps(1, 100))


@pytest.mark.parametrize("rate", [0.3, 1.0, 2.5, 7.0, 24.0, 100.0])
def test_equals_decoding_everything_and_choosing_by_the_rule(tmp_path: Path, rate: float) -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.choice([0.02, 0.04, 0.04, 0.1, 1.7], 120)).round(3).tolist()
    write_video(tmp_path / "a.mp4", times, gop=25)
    with av.open(tmp_path / "a.mp4") as container:
        everything = [frame.time for frame in container.decode(video=0)]
    want = by_the_rule(everything, rate)
    times, drawn = sampled(tmp_path / "a.mp4", rate=rate)
    assert times == pytest.approx(want, abs=1e-9)
    assert drawn == pytest.approx(times, abs=2e-3)


def test_the_clock_is_right_in_a_file_of_varying_rate(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shown = [0.0, *np.cumsum(rng.choice([0.02, 0.033, 0.1, 0.9, 5.0], 60)).round(3).tolist()]
    for name in ("a.mp4", "a.mkv", "a.webm", "a.ts"):
        codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
        fast = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx-vp9" else {}
        write_video(tmp_path / name, shown, codec=codec, options=fast)
        times, drawn = sampled(tmp_path / name, rate=2.0)
        assert times == pytest.approx(drawn, abs=2e-3), name
        assert drawn == pytest.approx(by_the_rule(shown, 2.0)), name
        info = probe(tmp_path / name)
        assert info.variable_rate
        assert shown[-1] < info.duration_s < shown[-1] + 5.1


@pytest.mark.parametrize(("rate", "max_frames"), [(0.0, None), (-1.0, None), (float("nan"), None), (1.0, 0)])
def test_impossible_settings(tmp_path: Path, rate: float, max_frames: int | None) -> None:
    with pytest.raises(ConfigError, match="impossible"):
        sample_frames(tmp_path / "never-opened.mp4", rate=rate, max_frames=max_frames)


# ---- stamps that go astray


@pytest.mark.parametrize(
    ("stamps", "want"),
    [
        ([], []),
        ([5], [5]),
        ([5, 6, 9], [5, 6, 9]),
        ([5, 6, 6, 7], [5, 6, 7]),  # two of one stamp
        ([5, 6, 3, 7, 8], [5, 6, 7, 8]),  # behind
        ([5, 6, 3, 4, 7, 8], [5, 6, 7, 8]),
        ([5, 6, 999, 7, 8], [5, 6, 7, 8]),  # ahead
        ([5, 6, 999, 1000, 1001], [5, 6, 999, 1000, 1001]),  # a long still picture
        ([5, 6, 2], [5, 6]),
        ([9, 5, 6], [5, 6]),
    ],
)
def test_steady_by_hand(stamps: list[int], want: list[int]) -> None:
    assert [stamp for stamp, _ in steady([(s, None) for s in stamps])] == want


@pytest.mark.parametrize("suffix", [".ts", ".webm"])
def test_a_clock_that_starts_again_goes_on(tmp_path: Path, suffix: str) -> None:
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    write_video(one, steps(3, 10), codec="libx264" if suffix == ".ts" else "libvpx-vp9")
    two.write_bytes(one.read_bytes() * 2)
    times, drawn = sampled(two)
    assert times == pytest.approx([0, 1, 2, 3, 4, 5], abs=0.11)
    assert drawn == pytest.approx([0, 1, 2, 0, 1, 2], abs=0.11)
    if suffix == ".ts":  # of Matroska, `measure` sees one part
        assert probe(two).duration_s == pytest.approx(6.0, abs=0.2)
        assert sampled(two, max_frames=3)[0] == pytest.approx([0, 2, 4], abs=0.11)


def test_avi_and_raw_streams_have_no_time_stamps(tmp_path: Path) -> None:
    for name, codec in (("a.avi", "libx264"), ("b.avi", "mpeg4"), ("a.h264", "libx264")):
        write_video(tmp_path / name, steps(3, 25), codec=codec)
        times, drawn = sampled(tmp_path / name)
        assert times == pytest.approx([0, 1, 2]), name
        assert drawn == pytest.approx(times, abs=0.041), name
        assert probe(tmp_path / name).duration_s == pytest.approx(3, abs=0.05)


def test_what_an_edit_list_cuts_off_is_not_shown(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(4, 25))
    with av.open(tmp_path / "a.mp4") as source, av.open(tmp_path / "b.mp4", "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        assert stream.time_base is not None
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts is not None:  # the first second lies before zero
                packet.pts, packet.dts = (int(x - 1 / stream.time_base) for x in (packet.pts, packet.dts))
                packet.stream = copy
                out.mux(packet)
    times, drawn = sampled(tmp_path / "b.mp4")
    assert [d - t for d, t in zip(drawn, times, strict=True)] == pytest.approx([drawn[0]] * len(times))
    assert times[0] == 0
    assert probe(tmp_path / "b.mp4").duration_s == pytest.approx(4 - drawn[0], abs=0.05)


# ---- pictures


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, rotation: int, name: str) -> None:
    write_video(tmp_path / name, steps(2, 10), rotation=rotation)
    times, drawn = sampled(tmp_path / name)  # reads only what is upright
    assert times == drawn == [0, 1]
    info = probe(tmp_path / name)
    assert (info.width, info.height, info.rotation) == (160, 48, 360 - rotation)


def test_colours_are_those_that_were_written(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), np.uint8) + np.array([200, 30, 60], np.uint8)
    write_video(tmp_path / "a.mp4", [0.0], draw=lambda _: red, options={"crf": "1"})
    frame = next(sample_frames(tmp_path / "a.mp4")).frames[0]
    assert frame.shape == (3, 48, 64)
    assert (frame.float().mean((1, 2)) - torch.tensor([200.0, 30, 60])).abs().max() < 4


def test_a_new_size_starts_a_new_batch(tmp_path: Path) -> None:
    write_video(tmp_path / "small.ts", steps(2, 10))
    write_video(tmp_path / "large.ts", steps(2, 10), offset_s=2, draw=lambda t: draw_clock(t, width=320, height=96))
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "small.ts").read_bytes() + (tmp_path / "large.ts").read_bytes())
    batches = list(sample_frames(joined, rate=2))
    assert [tuple(batch.frames.shape) for batch in batches] == [(4, 3, 48, 160), (4, 3, 96, 320)]
    assert torch.cat([batch.times for batch in batches]).tolist() == pytest.approx([k / 2 for k in range(8)], abs=0.11)


def test_batches_are_bounded_and_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "a.mp4", steps(10, 10))
    whole = list(sample_frames(tmp_path / "a.mp4", rate=10))
    assert [len(batch.frames) for batch in whole] == [64, 36]
    for limit, sizes in ((160 * 48 * 3 * 30, [30, 30, 30, 10]), (1, [1] * 100)):
        monkeypatch.setattr(frames, "BATCH_BYTES", limit)
        batches = list(sample_frames(tmp_path / "a.mp4", rate=10))
        assert [len(batch.frames) for batch in batches] == sizes
        assert torch.equal(torch.cat([b.frames for b in batches]), torch.cat([b.frames for b in whole]))
        assert torch.equal(torch.cat([b.times for b in batches]), torch.cat([b.times for b in whole]))


def test_threads_change_nothing(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(4, 25))
    one, two = (list(sample_frames(tmp_path / "a.mp4", rate=5, threads=n)) for n in (1, 2))
    assert torch.equal(one[0].frames, two[0].frames)
    assert torch.equal(one[0].times, two[0].times)


# ---- lengths


@pytest.mark.parametrize("max_frames", [1, 3, 8, 1000])
def test_the_cap_spreads_over_the_whole_length(tmp_path: Path, max_frames: int) -> None:
    write_video(tmp_path / "a.mkv", steps(20, 10))
    times, drawn = sampled(tmp_path / "a.mkv", max_frames=max_frames)
    assert times == pytest.approx(drawn, abs=2e-3)
    count = min(20, max_frames)
    assert times == pytest.approx([k * 20 / count for k in range(count)], abs=0.101)


@pytest.mark.parametrize("kind", ["no duration", "huge mkv", "huge mp4", "truncated mp4", "truncated mkv", "fragments"])
def test_the_cap_does_not_believe_what_is_declared(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.mp4" if "mp4" in kind or kind == "fragments" else "a.mkv")
    flags = {"movflags": "frag_keyframe+empty_moov" if kind == "fragments" else "faststart"}
    options = flags if path.suffix == ".mp4" else {}
    target = Unseekable(path) if kind == "no duration" else path
    write_video(target, steps(20, 10), gop=10, container="mp4" if options else "matroska", container_options=options)
    if kind.startswith("huge"):
        (declare_duration_mp4 if path.suffix == ".mp4" else declare_duration_mkv)(path, 100_000)
    if kind.startswith("truncated"):
        cut_short(path, path, 0.6)
    info = probe(path)
    if kind.startswith("truncated"):
        assert 5 < info.duration_s < 15
    else:
        assert info.duration_s - info.start_s == pytest.approx(20, abs=0.11)  # fragments begin two frames late
    assert info.rate == pytest.approx(10, rel=0.05)
    times, drawn = sampled(path, max_frames=4)
    assert times == pytest.approx([k * (info.duration_s - info.start_s) / 4 for k in range(4)], abs=0.21)
    assert times == pytest.approx([info.start_s + one for one in drawn], abs=2e-3)


@pytest.mark.parametrize("times", [[0.0], [0.0, 0.04, 0.08, 0.12, 0.16]])
def test_very_short_files(tmp_path: Path, times: list[float]) -> None:
    for name in ("a.mp4", "a.mkv", "a.ts", "a.avi"):
        write_video(tmp_path / name, times)
        assert [*sampled(tmp_path / name)[0], len(sampled(tmp_path / name)[1])] == [0.0, 1], name
        assert probe(tmp_path / name).duration_s == pytest.approx(0.04 * len(times), abs=0.05), name
        assert sampled(tmp_path / name, rate=25, max_frames=3)[0][0] == 0


# ---- the recordings


RECORDINGS = {
    "bottle-detection.mp4": 39.85,
    "car-detection.mp4": 30.16,
    "one-by-one-person-detection.mp4": 139.4,
    "book.mkv": 3.63,
    "eat.mkv": 1.57,
    "walk.mkv": 2.97,
    "yes.mkv": 2.17,
    "thanks.mkv": 1.7,
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings(shared: Path, name: str) -> None:
    path = shared / "videos" / name
    info = probe(path)
    assert info.duration_s == pytest.approx(RECORDINGS[name], abs=0.05)
    rate = 0.5 if info.duration_s > 60 else 2.0
    batches = list(sample_frames(path, rate=rate))
    times = torch.cat([batch.times for batch in batches])
    assert times[0] == pytest.approx(info.start_s)
    assert info.start_s < 0.05
    assert (times.diff() > 0).all()
    assert times[-1] < info.duration_s
    assert abs(len(times) - info.duration_s * rate) <= 1
    assert (times - torch.arange(len(times)) / rate).abs().max() <= 1 / info.rate + info.start_s + 1e-6
    assert all(batch.frames.shape[1:] == (3, info.height, info.width) for batch in batches)
    assert batches[0].frames.float().std() > 10  # something is to be seen


# ---- memory


PEAK = """
import sys
from pathlib import Path
from prvr.video.decode import sample_frames

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])

list(sample_frames(Path(sys.argv[1])))
before, count = peak(), 0
for batch in sample_frames(Path(sys.argv[2])):
    count += len(batch.times)
print(count, batch.times[-1].item(), (peak() - before) // 1024)
"""


def repeat_video(path: Path, out: Path, *, times: int, length_s: int) -> None:
    """The same packets again and again, as nobody has to encode them again."""
    with av.open(path) as once, av.open(out, "w") as target:
        stream = target.add_stream_from_template(once.streams.video[0])
        packets = [packet for packet in once.demux(video=0) if packet.size]
        for turn in range(times):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                assert packet.pts is not None
                copy.stream, copy.time_base, copy.is_keyframe = stream, packet.time_base, packet.is_keyframe
                copy.pts = copy.dts = packet.pts + round(turn * length_s / packet.time_base)
                target.mux(copy)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
def test_three_hours_grow_memory_by_less_than_500_mb(tmp_path: Path) -> None:
    write_video(tmp_path / "short.mp4", [0.0])
    rng = np.random.default_rng(0)
    pictures = [np.full((540, 960, 3), rng.integers(0, 255, 3), np.uint8) for _ in range(4)]
    shown, fast = [15.0 * i for i in range(4)], {"preset": "ultrafast"}
    write_video(tmp_path / "minute.mp4", shown, draw=lambda t: pictures[round(t) // 15], options=fast)
    repeat_video(tmp_path / "minute.mp4", tmp_path / "long.mp4", times=180, length_s=60)
    command = [sys.executable, "-c", PEAK, str(tmp_path / "short.mp4"), str(tmp_path / "long.mp4")]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(out[0]) == 720  # 1.1 GB of raw pictures went by
    assert float(out[1]) == pytest.approx(719 * 15)
    assert int(out[2]) < 500
