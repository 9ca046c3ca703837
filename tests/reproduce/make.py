"""A benchmark as its authors would publish it, small: annotations by hand, features simulated over them."""

from __future__ import annotations

import json
import random
from pathlib import Path

from prvr.data.benchmarks import open_annotations
from prvr.data.simulate import SimulateConfig, simulate

WIDTHS = (24, 16)  # of frames and of words
SMALL = [
    *("model.video_width=24", "model.text_width=16", "model.hidden=16", "model.heads=2"),
    *("batch_videos=4", "train.epochs=2", "loss.hard_from_epoch=1", "optim.lr=1e-3"),
]
_NOUNS = ("dog", "cat", "car", "boat", "chef", "child", "singer", "horse")
_VERBS = ("jumps over", "looks at", "paints", "pushes", "washes", "finds")


def qvhighlights(root: Path, *, train: int = 10, val: int = 6) -> Path:
    """Annotations in the authors' own form and a simulated pack over them -> the pack's folder."""
    made, draw, qid = root / "authors", random.Random(0), 0
    made.mkdir(parents=True)
    for split, number in (("train", train), ("val", val)):
        lines = []
        for video in range(number):
            for _ in range(3):
                start = 2 * draw.randrange(0, 60)
                end = start + 2 * draw.randrange(3, 12)
                words = draw.sample(_NOUNS, 2)
                qid += 1
                lines.append(
                    {
                        "qid": qid,
                        "query": f"A {words[0]} {draw.choice(_VERBS)} a {words[1]}.",
                        "duration": 150,
                        "vid": f"{split}Video{video}_60.0_210.0",
                        "relevant_windows": [[start, end]],
                        "relevant_clip_ids": list(range(start // 2, end // 2)),
                        "saliency_scores": [[2, 3, 4]] * ((end - start) // 2),
                    }
                )
        (made / f"highlight_{split}_release.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = SimulateConfig(video_width=WIDTHS[0], text_width=WIDTHS[1], noise=0.3, distractors=50)
    simulate(open_annotations(made), root / "pack", config=config)
    return root / "pack"
