from __future__ import annotations

import pytest

from prvr.core.errors import DataError
from prvr.evaluation import submissions


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is not JSON .*, column 2.; mend this line"),
        ("[1]", "expected an object"),
        ('{"qid": null}', "'qid' must be a number or a text"),
        (
            '{"qid": 1, "pred_relevant_windows": [[1, 2]]}',
            "'pred_relevant_windows' must be a list of rows of 3 numbers",
        ),
        ('{"qid": 1, "pred_relevant_windows": [[1, 2, NaN]]}', "rows of 3 numbers"),
        ('{"qid": 1, "pred_relevant_windows": [[1, 2, 3], [1, 2]]}', "rows of 3 numbers"),
        ('{"qid": 1, "pred_saliency_scores": ["high"]}', "'pred_saliency_scores' must be a list of numbers"),
        ('{"qid": 1, "pred_saliency_scores": [Infinity]}', "a list of finite numbers"),
    ],
)
def test_a_wrong_line_is_named(line: str, said: str) -> None:
    with pytest.raises(DataError, match=f"a.jsonl:2.*{said}"):
        submissions.predictions('{"qid": 0}\n' + line, where="a.jsonl")


def test_wrong_annotations_and_submissions_are_named() -> None:
    with pytest.raises(DataError, match=r"2 relevant_clip_ids, but 1 saliency_scores"):
        submissions.truth({"qid": 1, "relevant_clip_ids": [1, 2], "saliency_scores": [[1, 2, 3]]}, where="here")
    with pytest.raises(DataError, match="'vid_name' must name the right video, found None"):
        submissions.corpus_truth({"desc_id": 1, "ts": [0, 1]}, where="here")
    with pytest.raises(DataError, match="'ts' must be a list of rows of 2 numbers"):
        submissions.corpus_truth({"desc_id": 1, "vid_name": "a", "ts": [0]}, where="here")
    with pytest.raises(DataError, match="'video2idx' must map names"):
        submissions.submission({"VR": []}, where="here")
    with pytest.raises(DataError, match=r"here, VR\[0\]: 'predictions' must be a list of rows of 3 numbers"):
        submissions.submission({"video2idx": {}, "VR": [{"desc_id": 1, "predictions": [[1]]}]}, where="here")
    with pytest.raises(DataError, match="'VR' must be a list of answers, found 3"):
        submissions.submission({"video2idx": {}, "VR": 3}, where="here")
    with pytest.raises(DataError, match=r"here:3: is not JSON"):
        submissions.parse_submission('{"video2idx":\n {},\n "VR": [}', where="here")
