from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from prvr.parts.sampling import (
    at_most,
    average_positions,
    frame_spans,
    interpolate_positions,
    position_edges,
    position_spans,
)
from tests.parts.slow import loop_average


def test_edges_by_hand() -> None:
    assert position_edges(4, 4).tolist() == [0, 1, 2, 3, 3]
    assert position_edges(1, 3).tolist() == [0, 0, 0, 0]
    # halves go to the even side: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2, 3.5 -> 4
    assert position_edges(64, 128)[:11].tolist() == [0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5]
    assert position_edges(1000, 128)[-1] == 999  # so that the last frame of a long video is never used


@pytest.mark.parametrize("positions", [1, 3, 32, 40, 128])
def test_edges_are_exact_at_any_length(positions: int) -> None:
    for n in [*range(1, 300), 10_801, 123_457]:
        want = [min(round(Fraction(i * n, positions)), n - 1) for i in range(positions + 1)]
        assert position_edges(n, positions).tolist() == want


def test_averages_by_hand() -> None:
    frames = torch.tensor([[1.0], [3.0], [5.0], [7.0], [100.0]])
    assert average_positions(frames, 2).tolist() == [[2.0], [6.0]]  # edges 0, 2 (2.5 to even), 4: the last is not used
    assert average_positions(frames[:1], 3).tolist() == [[1.0]] * 3


@pytest.mark.parametrize("num_frames", [1, 2, 31, 64, 100, 128, 129, 192, 500, 3001])
def test_averages_equal_the_loop(num_frames: int) -> None:
    frames = torch.randn(num_frames, 5)
    for positions in (32, 128):
        torch.testing.assert_close(average_positions(frames, positions), loop_average(frames, positions))


def test_short_videos_stay_as_they_are() -> None:
    frames = torch.randn(9, 2)
    assert at_most(frames, 9) is frames
    torch.testing.assert_close(at_most(frames, 4), average_positions(frames, 4))


def test_interpolation_by_hand() -> None:
    frames = torch.tensor([[0.0], [10.0], [40.0], [20.0]])
    # as many positions as frames: frame t stands at t + 1/2; position 1 is read at 1, 1.5 and 2
    assert float(interpolate_positions(frames, 4)[1]) == pytest.approx((5 + 10 + 25) / 3)
    two = interpolate_positions(frames, 2)  # frames at 0.25, 0.75, 1.25, 1.75; read at 0.25, 0.625 and 1
    assert float(two[0]) == pytest.approx((0 + 7.5 + 25) / 3, abs=2e-2)  # from just inside the first frame
    sparse = interpolate_positions(torch.ones(2, 1), 8)  # frames at 2 and 6: only the outermost do not reach them
    assert sparse.flatten().tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    assert interpolate_positions(frames[:1], 3).tolist() == [[0.0]] * 3


def test_spans_by_hand() -> None:
    times = torch.tensor([0.0, 1.0, 2.5, 4.0])
    assert frame_spans(times, 5.0).tolist() == [[0, 1], [1, 2.5], [2.5, 4], [4, 5]]
    assert position_spans(times, 5.0, 2).tolist() == [[0, 2.5], [2.5, 4]]  # frames 0-1, frame 2
    assert position_spans(times[:1], 5.0, 3).tolist() == [[0, 5]] * 3


@pytest.mark.parametrize("num_frames", [1, 7, 128, 400])
def test_spans_cover_the_frames_that_are_averaged_and_stay_in_the_video(num_frames: int) -> None:
    times = torch.rand(num_frames).add(0.1).cumsum(0)
    duration = float(times[-1]) - 0.05  # the container says less than the last frame
    spans, edges = position_spans(times, duration, 128), position_edges(num_frames, 128)
    own = frame_spans(times, duration)
    for i in range(128):
        last = max(int(edges[i + 1]) - 1, int(edges[i]))
        assert spans[i].tolist() == [own[edges[i], 0], own[last, 1]]
    assert spans.min() >= 0
    assert spans.max() <= duration + 1e-4
    assert (spans[:, 1] >= spans[:, 0]).all()
