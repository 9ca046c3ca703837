from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prvr.core.errors import DataError
from prvr.evaluation import submissions
from prvr.evaluation.qvhighlights import Prediction


def test_predictions_there_and_back(tmp_path: Path) -> None:
    given = [
        Prediction(7, np.array([[0.1, 2.5, -0.25]]), np.array([0.5, 1e-9])),
        Prediction("eight", np.empty((0, 3)), None),
        Prediction(9, None, np.array([1.0])),
    ]
    path = tmp_path / "new" / "submission.jsonl"
    submissions.write_predictions(path, given)
    for one, again in zip(given, submissions.read_predictions(path), strict=True):
        assert one.query_id == again.query_id
        for ours, theirs in ((one.windows, again.windows), (one.saliency, again.saliency)):
            if ours is None or theirs is None:
                assert ours is theirs
            else:
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", r"submission.jsonl:2: is not JSON"),
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
def test_a_wrong_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "submission.jsonl"
    path.write_text('{"qid": 0}\n' + line)
    with pytest.raises(DataError, match=said):
        submissions.read_predictions(path)


def test_wrong_annotations_and_submissions_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 relevant_clip_ids, but 1 saliency_scores"):
        submissions.truth({"qid": 1, "relevant_clip_ids": [1, 2], "saliency_scores": [[1, 2, 3]]}, where="here")
    with pytest.raises(DataError, match="'vid_name' must name the right video, found None"):
        submissions.corpus_truth({"desc_id": 1, "ts": [0, 1]}, where="here")
    with pytest.raises(DataError, match="'ts' must be a list of rows of 2 numbers"):
        submissions.corpus_truth({"desc_id": 1, "vid_name": "a", "ts": [0]}, where="here")
    with pytest.raises(DataError, match="'video2idx' must map names"):
        submissions.submission({"VR": []}, where="here")
    with pytest.raises(DataError, match="here, VR: 'predictions' must be a list of rows of 3 numbers"):
        submissions.submission({"video2idx": {}, "VR": [{"desc_id": 1, "predictions": [[1]]}]}, where="here")
    with pytest.raises(DataError, match="cannot be read"):
        submissions.read_submission(tmp_path / "missing.json")
