from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from prvr.core.errors import CheckpointError
from prvr.core.types import Made, QueryAtVideo, RetrievalModel, VideoTokens
from prvr.methods.family import ComparedTwice
from prvr.methods.gmmformer_v2.loss import GMMFormerV2Loss, Settings, objective
from prvr.methods.gmmformer_v2.network import GMMFormerV2, GMMFormerV2Config
from prvr.methods.gmmformer_v2.official import OFFICIAL
from prvr.methods.msc.network import MSC, MSCConfig
from prvr.parts.objective import Objective
from prvr.parts.towers import TwiceRead
from prvr.parts.uniform import UniformConfig
from tests.methods.family import (
    CLIPS,
    TINY,
    batch,
    check_order,
    check_padding,
    check_small_batches,
    learned,
    roused,
    seen,
    shuffled,
    without_gradient,
)

SMALL = GMMFormerV2Config(**TINY, clips=CLIPS + 2)


def loss(config: GMMFormerV2Config = SMALL) -> Objective[Made[TwiceRead, VideoTokens], ComparedTwice]:
    loss = GMMFormerV2Loss(hard_from_epoch=0, hard_pool=1)
    return objective(Settings(model=config, prepare=UniformConfig(), loss=loss))


@pytest.mark.parametrize(
    ("widths", "words", "count"),
    [((2816, 512), 77, 31_995_040), ((3072, 768), 30, 32_273_440), ((1024, 1024), 30, 30_791_200)],
)
def test_as_many_parameters_as_published(widths: tuple[int, int], words: int, count: int) -> None:
    with torch.device("meta"):
        model = GMMFormerV2(GMMFormerV2Config(video_width=widths[0], text_width=widths[1], max_words=words))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_it_is_what_msc_was_built_on() -> None:
    model, given = roused(GMMFormerV2(SMALL)), batch()
    sizes = {name: value for name, value in vars(SMALL).items() if name in MSCConfig.__dataclass_fields__}
    msc = MSC(MSCConfig(**sizes, alignment="linear", sized_attention="blocks")).eval()
    msc.load_state_dict(model.state_dict(), strict=False)
    ones = replace(given.videos, clip_size=torch.ones_like(given.videos.clip_size))
    torch.testing.assert_close(msc.encode_videos(ones), model.encode_videos(given.videos))


def test_padding_order_and_company_change_nothing() -> None:
    model, given = roused(GMMFormerV2(SMALL)), batch()
    check_padding(model, loss(), given)
    check_order(model, loss(), given)
    check_small_batches(model, loss(), given)
    assert without_gradient(model, loss(), given) == []


def test_one_caption_a_video_has_nothing_to_match() -> None:
    model, given = roused(GMMFormerV2(SMALL)), batch()
    one = shuffled(given, torch.arange(4), torch.arange(4))
    assert learned(loss(), model, one).terms["matching"] == 0
    assert learned(loss(), model, given).terms["matching"] > 0


def test_fits_what_reads_it() -> None:
    model, given = roused(GMMFormerV2(SMALL)), batch()
    fits: RetrievalModel = model
    assert fits.clip_weight == 0.7
    assert not isinstance(model, QueryAtVideo)
    spans = model.token_spans(given.videos)
    assert torch.equal(spans.frames, given.videos.frame_spans)
    assert spans.clips[3].tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]  # three frames, five clips
    model = roused(GMMFormerV2(replace(SMALL, dropout=0.4))).train()
    outputs = seen(loss(), model, given)
    ranked = torch.einsum(
        "qd,vcd->qvc", F.normalize(outputs.query.again, dim=-1), F.normalize(outputs.video.clips, dim=-1)
    )
    assert not torch.allclose(ranked.amax(2), outputs.cosine.clip, atol=1e-4)


def test_official_names_lead_back() -> None:
    state = roused(GMMFormerV2(SMALL)).state_dict()
    theirs = OFFICIAL.write(state)
    assert theirs["weight_token"].shape == (1, 1, SMALL.hidden)
    back = OFFICIAL.read(theirs)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    with pytest.raises(CheckpointError, match="released GMMFormer v2: it has unknown 'vproj_clip.bias'"):
        OFFICIAL.read(theirs | {"vproj_clip.bias": torch.zeros(1)})
