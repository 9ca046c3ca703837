"""Which frames a clip encoder is shown, and which seconds its vectors stand for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from prvr.core.clips import ClipSpec
from prvr.core.errors import EncoderError
from prvr.core.types import EncoderSpec, TextFeatures, VideoFeatures
from prvr.encoders.pair import EncoderPair
from prvr.features.windows import reading_of, sampling_rate


class Shades:
    """Vectors that tell which frames were seen: of each, its grey; of a window, those of its first and last frame."""

    def __init__(self, clips: ClipSpec | None = None) -> None:
        self.spec = EncoderSpec(
            name="windows" if clips else "frames",
            revision="1",
            width=clips.width if clips else 3,
            image_size=(2, 2),
            mean=(0, 0, 0),
            std=(1, 1, 1),
            crop=False,
            token_limit=4,
            clips=clips,
        )

    def prepare(self, frames: Tensor) -> Tensor:
        return frames.float()

    def encode_images(self, images: Tensor) -> Tensor:
        return images[:, :, 0, 0]

    def encode_clips(self, clips: Tensor) -> Tensor:
        return torch.stack([clips[:, 0, 0, 0, 0], clips[:, -1, 0, 0, 0]], dim=1)

    def encode_texts(self, texts: list[str]) -> TextFeatures:
        words = torch.ones(len(texts), 2, self.spec.width) * torch.tensor([[1.0], [4.0]])
        return TextFeatures(words, torch.ones(len(texts), 2, dtype=torch.bool), words[:, 1])

    def unknown_words(self, text: str) -> list[str]:
        return [word for word in text.split() if not word.startswith(self.spec.name[0])]


def windows(length: int, stride: int, rate: float = 1.0) -> Shades:
    return Shades(ClipSpec(length=length, stride=stride, rate=rate, width=2))


def read(
    encoder: Shades | EncoderPair, times: Sequence[float], duration_s: float, *, batch: int, rate: float = 1.0
) -> VideoFeatures:
    """A video whose frame number i is all of shade i."""
    reading = reading_of(encoder, rate)
    frames = torch.arange(len(times), dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
    stamps = torch.tensor(times, dtype=torch.float64)
    for part, shown in zip(torch.split(frames, batch), torch.split(stamps, batch), strict=True):
        reading.add(part, shown)
    return reading.finish(duration_s)


def test_by_hand() -> None:
    """Windows of three, every two; the last one ends with the video; a frame stands until the next one."""
    video = read(windows(3, 2), [0.0, 1.0, 2.5, 3.0, 4.0, 7.0], 8.0, batch=2)
    assert video.clips
    assert video.clips.features.tolist() == [[0, 2], [2, 4], [3, 5]]
    assert video.clips.spans.tolist() == [[0.0, 3.0], [2.5, 7.0], [3.0, 8.0]]
    assert video.features is video.clips.features
    assert video.times.tolist() == [1.5, 4.75, 5.5]


def test_a_video_shorter_than_a_window_stands_still_at_its_end() -> None:
    video = read(windows(4, 2), [0.5, 1.0], 2.0, batch=8)
    assert video.clips
    assert video.clips.features.tolist() == [[0, 1]]
    assert video.clips.spans.tolist() == [[0.5, 2.0]]


@pytest.mark.parametrize("length, stride", [(1, 1), (4, 2), (4, 4), (3, 5), (5, 1)])
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_streamed_equals_the_loop(length: int, stride: int, batch: int) -> None:
    for count in range(1, 16):
        times = [i + 0.1 * (i % 3) for i in range(count)]
        video = read(windows(length, stride), times, count + 0.5, batch=batch)
        starts = list(range(0, count - length + 1, stride))
        if not starts or starts[-1] + length < count:
            starts.append(max(0, count - length))
        ends = [*times[1:], count + 0.5]
        last = [min(start + length, count) - 1 for start in starts]
        assert video.clips
        assert video.clips.features.tolist() == [[a, b] for a, b in zip(starts, last, strict=True)]
        wanted = torch.tensor([[times[a], ends[b]] for a, b in zip(starts, last, strict=True)])
        torch.testing.assert_close(video.clips.spans, wanted)


def test_two_encoders_see_their_own_rates() -> None:
    """Two frames a second are read for the windows; the frame encoder has the one of each second that it would have."""
    pair = EncoderPair(Shades(), windows(4, 2, rate=2.0))
    assert sampling_rate(pair.spec, 1.0) == 2.0
    assert sampling_rate(pair.spec, 5.0) == 5.0
    assert sampling_rate(windows(4, 2, rate=2.0).spec, 5.0) == 2.0
    assert sampling_rate(Shades().spec, 5.0) == 5.0
    times = [0.02, 0.52, 1.0, 1.5, 2.02, 2.5, 4.0]
    video = read(pair, times, 4.5, batch=3)
    assert video.features[:, 0].tolist() == [0, 2, 4, 6]
    assert video.times.tolist() == [0.02, 1.0, 2.02, 4.0]
    assert video.clips
    assert video.clips.features.tolist() == [[0, 3], [2, 5], [3, 6]]


def test_sentences_of_two_encoders_stand_side_by_side() -> None:
    pair = EncoderPair(Shades(), windows(4, 2))
    assert (pair.spec.width, pair.spec.name, pair.spec.clips) == (5, "frames + windows", pair.windows.spec.clips)
    texts = pair.encode_texts(["a", "b"])
    torch.testing.assert_close(texts.sentence[0], torch.tensor([3**-0.5] * 3 + [2**-0.5] * 2))
    assert torch.equal(texts.words[:, -1], texts.sentence)
    assert pair.encode_images(torch.ones(1, 3, 2, 2)).tolist() == [[1, 1, 1, 0, 0]]
    assert pair.unknown_words("fox wolf bear") == ["bear"]


def test_two_of_a_kind_are_refused() -> None:
    with pytest.raises(EncoderError, match="frames: reads single frames; give it as --encoder"):
        EncoderPair(Shades(), Shades())
    with pytest.raises(EncoderError, match="windows: reads windows of frames; give it as --clip-encoder"):
        EncoderPair(windows(4, 2), windows(4, 2))
