"""The four benchmarks of the field: what their authors' files are called and how much is in them. Facts only."""

from __future__ import annotations

from dataclasses import dataclass

from prvr.core.config import closest


@dataclass(frozen=True, kw_only=True)
class Release:
    """One split as the authors publish it."""

    split: str  # the authors' own name
    file: str
    text_file: str = ""  # the same in an older form, where the authors have one
    videos: int  # as partially relevant video retrieval counts them
    queries: int

    @property
    def files(self) -> list[str]:
        """What the authors call it, in each form that they have."""
        return [self.file, self.text_file] if self.text_file else [self.file]


@dataclass(frozen=True, kw_only=True)
class PackFiles:
    """One published pack of features: a video file or folder and a text file, below `<collection>/`."""

    title: str
    video: str
    text: str
    video_width: int  # E of the frames
    text_width: int  # E of the words
    token_limit: int  # W at most, as published
    drops: str = ""  # what the keys of the video file lack at the front of a video id


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark as the published comparisons use it."""

    name: str
    title: str
    folder: str  # how a folder of the authors' files is usually called
    collection: str  # how the field's files begin: `<collection>train.caption.txt`
    releases: tuple[Release, ...]
    evaluated: str  # the authors' name of the split that is selected on and reported
    packs: tuple[PackFiles, ...]
    train: str = "train"

    def release(self, split: str) -> Release | None:
        """The authors' split of a name; `val` and `test` are the evaluated one, where the authors have no such split.

        Training selects on `val` and reports on `test`: with the published protocol both are the same split.
        """
        by_name = {release.split: release for release in self.releases}
        if split in by_name:
            return by_name[split]
        return by_name[self.evaluated] if split in ("val", "test") else None

    def caption_file(self, split: str) -> str:
        """The field's caption file of `train`, `val` or `test`, below `<collection>/`."""
        return f"TextData/{self.collection}{split}.caption.txt"


def _packs(collection: str, *, i3d: str, i3d_width: int, roberta_width: int, drops: str = "") -> tuple[PackFiles, ...]:
    """What MSC and MS-SL publish of one collection."""
    return (
        PackFiles(
            title="CLIP ViT-L/14 (MSC)",
            video=f"FeatureData/{collection}_clip_L14.h5",
            text=f"TextData/{collection}_clip_L14.h5",
            video_width=768,
            text_width=768,
            token_limit=77,
            drops=drops,
        ),
        PackFiles(
            title="I3D and RoBERTa (MS-SL)",
            video=f"FeatureData/{i3d}",
            text=f"TextData/roberta_{collection}_query_feat.hdf5",
            video_width=i3d_width,
            text_width=roberta_width,
            token_limit=30,
        ),
        PackFiles(
            title="CLIP ViT-B/32 (MS-SL)",
            video=f"FeatureData/new_clip_vit_32_{collection}_vid_features.hdf5",
            text=f"TextData/clip_ViT_B_32_{collection}_query_feat.hdf5",
            video_width=512,
            text_width=512,
            token_limit=1,
        ),
    )


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="qvhighlights",
        title="QVHighlights",
        folder="qvhighlights",
        collection="qvhighlight",
        releases=(
            Release(split="train", file="highlight_train_release.jsonl", videos=2_214, queries=7_218),
            Release(split="val", file="highlight_val_release.jsonl", videos=474, queries=1_550),
        ),
        evaluated="val",
        packs=(
            PackFiles(
                title="SlowFast and CLIP (MSC)",
                video="FeatureData/qvhighlight_slowfast_clip.h5",
                text="TextData/qvhighlight_slowfast_clip_text.h5",
                video_width=2816,
                text_width=512,
                token_limit=77,
            ),
        ),
    ),
    Benchmark(
        name="tvr",
        title="TVR",
        folder="tvr",
        collection="tvr",
        releases=(
            Release(split="train", file="tvr_train_release.jsonl", videos=17_435, queries=87_175),
            Release(split="val", file="tvr_val_release.jsonl", videos=2_179, queries=10_895),
        ),
        evaluated="val",
        packs=_packs("tvr", i3d="i3d_resnet", i3d_width=3072, roberta_width=768),
    ),
    Benchmark(
        name="activitynet",
        title="ActivityNet Captions",
        folder="activitynet_captions",
        collection="activitynet",
        releases=(
            Release(split="train", file="train.json", videos=10_009, queries=37_421),
            Release(split="val_1", file="val_1.json", videos=4_917, queries=17_505),
            Release(split="val_2", file="val_2.json", videos=4_885, queries=17_031),
        ),
        evaluated="val_1",
        packs=_packs("activitynet", i3d="i3d", i3d_width=1024, roberta_width=1024, drops="v_"),
    ),
    Benchmark(
        name="charades",
        title="Charades-STA",
        folder="charades_sta",
        collection="charades",
        releases=(
            Release(
                split="train",
                file="charades_train_release.jsonl",
                text_file="charades_sta_train.txt",
                videos=5_336,
                queries=12_404,
            ),
            Release(
                split="test",
                file="charades_test_release.jsonl",
                text_file="charades_sta_test.txt",
                videos=1_334,
                queries=3_720,
            ),
        ),
        evaluated="test",
        packs=_packs("charades", i3d="i3d_rgb_lgi", i3d_width=1024, roberta_width=1024),
    ),
)


def benchmark(name: str) -> Benchmark:
    """The benchmark of a name. Raises ConfigError with the nearest name that exists."""
    by_name = {known.name: known for known in BENCHMARKS}
    return by_name[closest(name, list(by_name), what=f"benchmark {name!r}")]
