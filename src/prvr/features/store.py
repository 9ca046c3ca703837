"""A folder of frame features that memory-maps, that others can read, and that never mixes encoders.

One safetensors file a video (`features` (T, E) float32, `times` (T,) float64 PTS seconds, `spans` (C, 2) float32 of the
windows of a clip encoder and `clips` (C, E) float32 where it stands beside one of frames, `said` the JSON of its
subtitle tracks as bytes; who and from where in the metadata) beside one `store.json` that says which encoder made them
all. Safetensors because it memory-maps, holds no code, and has readers in every language; one file a video because a
file is renamed into place whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from prvr.core.clips import ClipFeatures
from prvr.core.config import from_dict, to_dict
from prvr.core.errors import ConfigError, FeatureError
from prvr.core.facts import Cue
from prvr.core.files import only_writer, refuse_links, refuse_newer, write_whole
from prvr.core.text import path_of, text_of
from prvr.core.types import EncoderSpec, VideoFeatures
from prvr.core.vectors import check_finite
from prvr.core.weights import SUM, digest, metadata_of, tensor_bytes
from prvr.subtitles.tracks import TextTrack

HEADER = "store.json"
VERSION = 1  # of the format of a store


@dataclass(frozen=True, kw_only=True)
class StoreHeader:
    """What every feature of a store has in common."""

    encoder: EncoderSpec
    rate: float  # frames a second that were asked for
    max_frames: int | None = None  # most frames a video, spread over its whole length
    normalised: bool = False  # rows as the encoder gave them
    version: int = VERSION


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the store knows of one video without reading its features."""

    video_id: str
    source: str  # absolute path of the file it was made from, as `text_of` writes it
    size: int  # bytes of that file, then
    mtime_ns: int  # and when it had last changed
    duration_s: float
    num_frames: int
    num_cues: int = -1  # said in the tracks inside it; -1 where nobody has looked
    reading: int = 1  # by which way of reading files it was made (`prvr.video.probe.READING`)
    confirmed: int = 1  # the last way that is known to read the file just so

    @property
    def file(self) -> Path:
        """Where the file lay."""
        return path_of(self.source)

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """From what stands in the file. Raises KeyError and ValueError for anything else."""
        return cls(
            video_id=values["video_id"],
            source=values["source"],
            size=int(values["size"]),
            mtime_ns=int(values["mtime_ns"]),
            duration_s=float(values["duration_s"]),
            num_frames=int(values["num_frames"]),
            num_cues=int(values.get("num_cues", -1)),
            reading=int(values.get("reading", 1)),
            confirmed=int(values.get("confirmed", 1)),
        )

    def made_from(self, size: int, mtime_ns: int) -> bool:
        """Whether a file of this size and time of change is the one that was read, wherever it lies now."""
        return (self.size, self.mtime_ns) == (size, mtime_ns)


def holds_features(folder: Path) -> bool:
    """Whether there is a store in a folder, of whatever state."""
    return (folder / HEADER).exists()


def beside_frames(video: VideoFeatures) -> Tensor | None:
    """The vectors of windows (C, E) where frames have vectors of their own; None where there are not both."""
    return None if video.clips is None or video.clips.features is video.features else video.clips.features


class FeatureStore:
    """Read and write the features of many videos."""

    def __init__(self, folder: Path, header: StoreHeader) -> None:
        self.folder = folder
        self.header = header
        self._videos = folder / "videos"
        self._sound: set[str] = set()  # ids whose features were compared with their checksum

    @classmethod
    def open(cls, folder: Path) -> Self:
        """A store that exists. Raises FeatureError when there is none, or a foreign one."""
        path = folder / HEADER
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            refuse_newer(path, values, VERSION, FeatureError)
            return cls(folder, from_dict(StoreHeader, values))
        except FileNotFoundError as error:
            raise FeatureError(
                f"{folder}: no feature store here; make one with `prvr extract PATH --out {folder}`"
            ) from error
        except (OSError, ValueError, ConfigError) as error:
            raise FeatureError(
                f"{path}: is not the header of a feature store ({error}); extract into another folder"
            ) from error

    @classmethod
    def create(cls, folder: Path, header: StoreHeader) -> Self:
        """The store in `folder`, made if there is none. Raises FeatureError rather than mix two encoders or rates."""
        if (folder / HEADER).exists():
            store = cls.open(folder)
            store.require(header)
            return store
        try:
            (folder / "videos").mkdir(parents=True, exist_ok=True)
            write_whole(folder / HEADER, json.dumps(to_dict(header), indent=1).encode())
        except OSError as error:
            raise FeatureError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
        return cls(folder, header)

    def require(self, wanted: StoreHeader) -> None:
        """Raises FeatureError, naming both sides and the fix, unless this store is what is wanted."""
        ours, theirs = self.header, wanted
        if not ours.encoder.same_as(theirs.encoder):
            raise FeatureError(
                f"{self.folder}: holds features of encoder {ours.encoder.fingerprint}, "
                f"not of {theirs.encoder.fingerprint}; use `--encoder {ours.encoder.source or ours.encoder.name}`, "
                "or extract into another folder"
            )
        if (ours.rate, ours.max_frames, ours.version) != (theirs.rate, theirs.max_frames, theirs.version):
            cap = f" --max-frames {ours.max_frames}" if ours.max_frames else ""
            raise FeatureError(
                f"{self.folder}: holds features at {ours.rate:g} frames/s "
                f"(at most {ours.max_frames or 'all'} a video), not at {theirs.rate:g} "
                f"(at most {theirs.max_frames or 'all'}); "
                f"use `--rate {ours.rate:g}{cap}`, or extract into another folder"
            )

    def writing(self) -> AbstractContextManager[None]:
        """Hold the only right to write. Raises FeatureError when another process has it; a killed one lets go."""
        refuse_links(self.folder, ("videos", "texts"), FeatureError)
        return only_writer(self.folder, FeatureError, parts="videos/.*.tmp")

    def path_of(self, video_id: str) -> Path:
        """Where the features of a video lie; hashed, so that any id makes a short and legal name."""
        return self._videos / _name(video_id)

    def __contains__(self, video_id: str) -> bool:
        return self.path_of(video_id).exists()

    def entries(self) -> list[Entry]:
        """Every video in the store, sorted by id; files that cannot be read are left out, as if not yet made."""
        found = (self._entry(path) for path in self._videos.glob("*.safetensors"))
        return sorted((entry for entry in found if entry), key=lambda entry: entry.video_id)

    def entry(self, video_id: str) -> Entry | None:
        """What is known of one video, or None when it is not (or not readably) here."""
        return self._entry(f"{self._videos}/{_name(video_id)}")

    def read_at(self, video_id: str) -> float | None:
        """When a video was read, unix seconds; None when it is not here."""
        try:
            return self.path_of(video_id).stat().st_mtime
        except OSError:
            return None

    def read(self, video_id: str) -> VideoFeatures:
        """The features of one video, from the memory map; compared with their checksum the first time.

        Raises FeatureError naming the video and the next step.
        """
        path = self.path_of(video_id)
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                if video_id not in self._sound and metadata.get(SUM, "") not in ("", digest(tensors)):
                    raise FeatureError(
                        f"{path}: features of video {video_id!r} are not what was written; delete that file and run "
                        "the same command again: that video is read anew"
                    )
                self._sound.add(video_id)
                features, times = tensors["features"], tensors["times"]
                duration_s = float(metadata["duration_s"])
                clips = None
                if "spans" in tensors:
                    clips = ClipFeatures(tensors.get("clips", features), tensors["spans"])
        except FileNotFoundError as error:
            raise FeatureError(
                f"{self.folder}: no features of video {video_id!r}; add it with `prvr extract PATH --out {self.folder}`"
            ) from error
        except (SafetensorError, OSError, KeyError, TypeError) as error:
            raise FeatureError(
                f"{path}: features of video {video_id!r} are damaged ({error}); run the same `prvr extract` again"
            ) from error
        check_finite(
            features, f"{path}: the features of video {video_id!r}", "delete this file and run the same command again"
        )
        return VideoFeatures(features, times, duration_s, clips)

    def damaged(self) -> dict[str, str]:
        """Id -> a line, of every video whose features are not what was written."""
        found = {}
        for entry in self.entries():
            try:
                self._sound.discard(entry.video_id)
                self.read(entry.video_id)
            except FeatureError as error:
                found[entry.video_id] = str(error)
        return found

    def confirm(self, entry: Entry, reading: int) -> Entry:
        """Note that a newer way of reading reads this file just so. Raises FeatureError as `write`."""
        video, tracks = self.read(entry.video_id), self.tracks(entry.video_id)
        return self._put(replace(entry, confirmed=reading), video, tracks)

    def put_tracks(self, entry: Entry, tracks: Sequence[TextTrack]) -> Entry:
        """Keep what is said in a video that was read before. Raises FeatureError as `write`."""
        heard = replace(entry, num_cues=sum(len(track.cues) for track in tracks))
        return self._put(heard, self.read(entry.video_id), tracks)

    def tracks(self, video_id: str) -> list[TextTrack]:
        """What is said in the subtitle tracks inside a video; nothing where that is not known."""
        try:
            with safe_open(self.path_of(video_id), framework="pt") as file:
                if "said" not in file.keys():  # noqa: SIM118 - no mapping
                    return []
                rows = json.loads(file.get_tensor("said").numpy().tobytes())
                return [TextTrack(name, forced, tuple(Cue(*cue) for cue in cues)) for name, forced, cues in rows]
        except (SafetensorError, OSError, ValueError, TypeError):
            return []

    def write(
        self,
        video_id: str,
        video: VideoFeatures,
        *,
        source: Path,
        size: int,
        mtime_ns: int,
        tracks: Sequence[TextTrack] | None = None,
        reading: int = 1,
    ) -> Entry:
        """Put one video in place, whole or not at all; `tracks` None: nobody has looked for any.

        Raises FeatureError for a full or read-only disk.
        """
        width, beside = self.header.encoder.width, beside_frames(video)
        if video.features.shape[1:] != (width - (0 if beside is None else beside.shape[1]),):
            raise FeatureError(
                f"{video_id}: features are {tuple(video.features.shape)}, but encoder {self.header.encoder.name!r} "
                f"makes (T, {width}); choose the store of the right encoder"
            )
        entry = Entry(
            video_id=video_id,
            source=text_of(source),
            size=size,
            mtime_ns=mtime_ns,
            duration_s=video.duration_s,
            num_frames=len(video.times),
            num_cues=-1 if tracks is None else sum(len(track.cues) for track in tracks),
            reading=reading,
            confirmed=reading,
        )
        return self._put(entry, video, tracks)

    def _put(self, entry: Entry, video: VideoFeatures, tracks: Sequence[TextTrack] | None) -> Entry:
        tensors = {"features": video.features.float().contiguous(), "times": video.times.double().contiguous()}
        if video.clips:
            tensors["spans"] = video.clips.spans.float().contiguous()
        if (beside := beside_frames(video)) is not None:
            tensors["clips"] = beside.float().contiguous()
        if tracks:
            rows = [(one.language, one.forced, [cue[:3] for cue in one.cues]) for one in tracks]
            tensors["said"] = torch.tensor(bytearray(json.dumps(rows).encode()), dtype=torch.uint8)
        metadata = {name: str(value) for name, value in asdict(entry).items()}
        metadata["encoder"] = self.header.encoder.fingerprint
        metadata[SUM] = digest(tensors)
        self.put(entry, tensor_bytes(tensors, metadata))
        return entry

    def put(self, entry: Entry, content: bytes, /) -> None:
        """Put the file of one video in place, whole or not at all, as a store of this kind made it.

        Raises FeatureError as `write`.
        """
        try:
            write_whole(self.path_of(entry.video_id), content)
        except OSError as error:
            raise FeatureError(
                f"{self.folder}: cannot write the features of {entry.video_id!r} ({error.strerror}); free some space "
                f"or choose another folder, then run the same command again: what is finished stays"
            ) from error

    def remove(self, video_id: str) -> None:
        """Forget one video."""
        self.path_of(video_id).unlink(missing_ok=True)

    def _entry(self, path: Path | str) -> Entry | None:
        try:
            values = metadata_of(path)
            return Entry.of(values) if values["encoder"] == self.header.encoder.fingerprint else None
        except (OSError, KeyError, ValueError):  # cut off, or by another hand
            return None


def _name(video_id: str) -> str:
    return f"{hashlib.sha256(video_id.encode()).hexdigest()[:24]}.safetensors"
