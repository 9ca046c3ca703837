"""A folder of published packs: which file holds the videos, which the sentences, and whose id is which key.

Found are `[NAME/]FeatureData/` with `[NAME/]TextData/` (MSC's HDF5 pair, MS-SL's bundle), and Moment-DETR's folders of
npz files side by side. The quirks of published keys end here: behind it there are our video and query ids; and so do
those of published names, which are all that says what encoder made a pack.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from prvr.core.config import fingerprint
from prvr.core.errors import FeatureError
from prvr.core.types import FeatureSpec, VideoFeatures
from prvr.core.vectors import check_finite
from prvr.features.packs.base import FeaturePack, no_such_key
from prvr.features.packs.bigfile import FILES, BigFilePack
from prvr.features.packs.hdf5 import SUFFIXES, Hdf5Pack
from prvr.features.packs.npz import NpzPack
from prvr.features.packs.words import AGAIN, spellings

VIDEOS, TEXTS, SIMULATED = "FeatureData", "TextData", "simulated.json"
_CUT = re.compile(r"(?P<video>.+)_(?P<start>\d+(?:\.\d+)?)_(?P<end>\d+(?:\.\d+)?)")
_CUT_STEP_S = 2.0
_CLIP, _WORDS_ALONE = re.compile("clip", re.IGNORECASE), re.compile("roberta|bert|glove", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class PackFolder:
    """The two packs of one benchmark, by our ids."""

    root: Path
    video: FeaturePack
    text: FeaturePack
    simulated: bool = False
    seconds_per_frame: float | None = None  # where the pack says

    @cached_property
    def spec(self) -> FeatureSpec:
        """What all features of the folder have in common."""
        return FeatureSpec(
            name="simulated " * (self.simulated and "simulated" not in self.video.name) + self.video.name,
            revision=fingerprint([_sample(self.video), _sample(self.text)], length=24),
            video_width=self.video.width,
            text_width=self.text.width,
            simulated=self.simulated,
            shared_space=self._shared_space,
            sentence_vector=self._sentence_vector,
        )

    @property
    def _shared_space(self) -> bool | None:
        """Simulated frames are a random map of what is said, and language models have never seen a picture."""
        if self.simulated or self.video.width != self.text.width or _WORDS_ALONE.search(self.text.name):
            return False
        return True if _CLIP.search(self.video.name) and _CLIP.search(self.text.name) else None

    @property
    def _sentence_vector(self) -> bool | None:
        """The last row of a query is that of the whole sentence with CLIP ([EOS]), and with what we simulate."""
        if not self.simulated and _WORDS_ALONE.search(self.text.name):
            return False
        return True if self.simulated or _CLIP.search(self.text.name) else None

    def read_video(
        self, video_id: str, *, duration_s: float | None = None, cuts: Mapping[str, float] | None = None
    ) -> VideoFeatures:
        """The frames of a video, spread evenly over `duration_s`.

        `cuts` are those that the annotations join to this video, in order, with their seconds: where the pack has them
        apart, the rows of each are spread over its own. Without any length rows stand as far apart as the pack says,
        2 s in cuts of QVHighlights, else 1 s, so that times are no seconds but places. Raises FeatureError naming the
        pack and the video that is missing, damaged or holds numbers that are not finite.
        """
        keys = self.video_keys(video_id, cuts)
        if not keys:
            raise no_such_key(self.video, video_id)
        rows = [self.video.read(key) for key in keys]
        features = torch.cat(rows)
        if not len(features):
            raise FeatureError(f"{self.video.path}: video {video_id!r} has no frames; get the pack again")
        check_finite(features, f"{self.video.path}: video {video_id!r}", AGAIN)
        whole = keys[0] in spellings(video_id)
        if cuts and not whole:
            lengths = list(cuts.values())
        else:
            step = self.seconds_per_frame or (1.0 if whole else _CUT_STEP_S)
            rows, lengths = [features], [duration_s or len(features) * step]
        starts = torch.tensor([0.0, *lengths], dtype=torch.float64).cumsum(0)
        times = [
            start + torch.arange(len(part), dtype=torch.float64) * (length / max(len(part), 1))
            for start, part, length in zip(starts[:-1], rows, lengths, strict=True)
        ]
        return VideoFeatures(features, torch.cat(times), duration_s or float(starts[-1]))

    def video_keys(self, video_id: str, cuts: Iterable[str] | None = None) -> list[str]:
        """The keys whose rows, end to end, are the video: one, or its cuts in order of start.

        Where annotations say which `cuts` those are, all of them and no other. None if the video, or one of these, is
        missing.
        """
        whole = [key for key in spellings(video_id) if key in self.video]
        if whole or cuts is None:
            return whole[:1] or self._cuts.get(video_id, [])
        named = list(cuts)
        return named if all(cut in self.video for cut in named) else []

    @cached_property
    def _cuts(self) -> dict[str, list[str]]:
        """QVHighlights' video id -> the keys `{id}_{start}_{end}` of its cuts, in order of start."""
        found: dict[str, list[tuple[float, str]]] = {}
        for cut in filter(None, map(_CUT.fullmatch, self.video.keys())):
            found.setdefault(cut["video"], []).append((float(cut["start"]), cut[0]))
        return {video: [key for _, key in sorted(cuts)] for video, cuts in found.items()}


def open_packs(root: Path, *, video: str = "", text: str = "") -> PackFolder | None:
    """The published packs in a folder, or None when there are none.

    Where there are several (MS-SL's bundle), `video` and `text` name the wanted ones; else those that belong together
    by name are taken. Raises FeatureError where that leaves a choice, for half a pair and for a damaged file.
    """
    base = _base(root)
    if base is None:
        return _open_npz(root)
    videos, texts = _videos(base / VIDEOS), _texts(base / TEXTS)
    if not videos and not texts:
        return None
    chosen_video, chosen_text = _choose(base, videos, texts, video, text)
    knobs = _knobs(base)
    seconds = knobs.get("seconds_per_frame")
    return PackFolder(
        root=base,
        video=open_pack(chosen_video),
        text=open_pack(chosen_text),
        simulated=bool(knobs),
        seconds_per_frame=float(seconds) if isinstance(seconds, (int, float)) else None,
    )


def packs_at(path: Path) -> PackFolder | None:
    """The published packs that a path names: a folder's, or the pair whose videos lie at `.../FeatureData/NAME`.

    None where there are none. Raises FeatureError as `open_packs` does.
    """
    if path.parent.name != VIDEOS:
        return open_packs(path)
    named = [name for name, place in _videos(path.parent).items() if place == path]
    return open_packs(path.parent.parent, video=named[0]) if named else None


def open_pack(path: Path) -> FeaturePack:
    """One pack, by what lies at a path. Raises FeatureError for anything else, and for a damaged one."""
    if path.is_file():
        return Hdf5Pack(path)
    if (path / FILES[0]).exists():
        return BigFilePack(path)
    return NpzPack(path)


def _base(root: Path) -> Path | None:
    """The folder with FeatureData or TextData: `root`, or the only one below it."""
    folders = [root, *sorted(path for path in root.glob("*") if path.is_dir())]
    found = [folder for folder in folders if (folder / VIDEOS).is_dir() or (folder / TEXTS).is_dir()]
    if len(found) > 1 and found[0] != root:
        raise FeatureError(
            f"{root}: holds packs of {', '.join(path.name for path in found)}; name one, such as {found[0]}"
        )
    return found[0] if found else None


def _videos(folder: Path) -> dict[str, Path]:
    return _hdf5(folder) | {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{FILES[0]}"))}


def _texts(folder: Path) -> dict[str, Path]:
    return _hdf5(folder)


def _hdf5(folder: Path) -> dict[str, Path]:
    paths = sorted(folder.glob("*")) if folder.is_dir() else []
    return {path.stem: path for path in paths if path.suffix in SUFFIXES and not path.name.startswith(".")}


def _choose(base: Path, videos: dict[str, Path], texts: dict[str, Path], video: str, text: str) -> tuple[Path, Path]:
    """The pair that is asked for, the only one, or the first that belongs together by name."""
    for asked, found, where in ((video, videos, VIDEOS), (text, texts, TEXTS)):
        there = f"there are {', '.join(found)}" if found else f"nothing is in {base / where}"
        if asked and asked not in found:
            raise FeatureError(f"{base / where}: no pack {asked!r}; {there}")
        if not found:
            raise FeatureError(
                f"{base / where}: no pack here, though its other half is in {base}; "
                "put the HDF5 file (or the BigFile folder) of the same benchmark there"
            )
    pairs = [(v, t) for v in videos for t in texts if video in ("", v) and text in ("", t)]
    if len(pairs) > 1:
        pairs = [pair for pair in pairs if _belong(videos[pair[0]], *pair, asked=bool(video))]
    if len(pairs) != 1:
        raise FeatureError(
            f"{base}: choose one of the video packs {', '.join(videos)} and one of the text packs {', '.join(texts)}"
        )
    return videos[pairs[0][0]], texts[pairs[0][1]]


def _belong(path: Path, video: str, text: str, *, asked: bool) -> bool:
    """MSC: the same name, or with `_text` behind; MS-SL: the BigFile with RoBERTa, and CLIP-B/32 for whoever asks."""
    of_clip_b = asked and video.startswith("new_clip_vit_32") and text.startswith("clip_ViT_B_32")
    return text in (video, f"{video}_text") or (path.is_dir() and text.startswith("roberta")) or of_clip_b


def _open_npz(root: Path) -> PackFolder | None:
    """Moment-DETR's folders below `root` or `root/features`: SlowFast before CLIP, as its scripts name them."""
    for base in (root, root / "features"):
        folders = [path for path in sorted(base.glob("*")) if path.is_dir() and any(path.glob("*.npz"))]
        texts = [path for path in folders if any(path.glob("qid*.npz"))]
        videos = [path for path in folders if path not in texts]
        if len(texts) > 1:
            raise FeatureError(f"{base}: several folders hold sentences ({', '.join(p.name for p in texts)}); keep one")
        if texts and videos:
            videos.sort(key=lambda path: (not path.name.startswith("slowfast"), path.name))
            return PackFolder(root=base, video=NpzPack(*videos), text=NpzPack(texts[0]), simulated=bool(_knobs(base)))
    return None


def _knobs(base: Path) -> dict[str, object]:
    """What `prvr data simulate` wrote about its packs, or nothing."""
    path = base / SIMULATED
    if not path.exists():
        return {}
    try:
        knobs = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FeatureError(f"{path}: cannot be read ({error}); simulate again into another folder") from error
    config = knobs.get("config") if isinstance(knobs, dict) else None
    return {"simulated": True, **(config if isinstance(config, dict) else {})}


def _sample(pack: FeaturePack) -> list[object]:
    """What changes when a pack does, without reading all of it."""
    keys = sorted(pack.keys())
    few = [keys[0], keys[len(keys) // 2], keys[-1]]
    values = [[key, [round(x, 6) for x in pack.read(key).flatten()[:8].tolist()]] for key in few]
    return [pack.name, len(keys), pack.width, values]
