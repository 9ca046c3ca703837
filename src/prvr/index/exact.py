"""The exact engine: every vector is compared with, so that it is the judge of all others.

score(q, v) = w_clip · max over v's clips of cos + (1 - w_clip) · max over v's frames of cos.

On disk: `index.json` (header and table of videos) names one safetensors file of all vectors. A save writes the new
vectors first and then renames the json into place, so that a reader finds the old pair or the new one.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from prvr.core.config import from_dict, to_dict
from prvr.core.errors import ConfigError, IndexFolderError
from prvr.core.files import write_whole
from prvr.core.types import Bank, BranchScores, Candidate
from prvr.index.base import VERSION, IndexHeader

TABLE = "index.json"
AGAIN = "make it again with `prvr index PATH --index DIR`"


class _Joined(NamedTuple):
    """All banks end to end, in the order of `ids`."""

    ids: list[str]
    tokens: Tensor  # (ΣN, D)
    group: Tensor  # (ΣN,) 2 · video for its frames, 2 · video + 1 for its clips
    start: list[int]  # where each video's tokens begin


class ExactIndex:
    """All vectors in memory, compared with one matrix product."""

    def __init__(self, header: IndexHeader) -> None:
        self.header = header
        self.banks: dict[str, Bank] = {}
        self.versions: dict[str, str] = {}

    @classmethod
    def open(cls, folder: Path) -> Self:
        """An index that was saved. Raises IndexFolderError when there is none, or a damaged or newer one."""
        found = _read_table(folder)
        if found is None:
            raise IndexFolderError(f"{folder}: no index here; make one with `prvr index PATH --index DIR`")
        header, table = found
        index = cls(header)
        try:
            index.banks = _split(table["videos"], load_file(folder / table["vectors"]))
            index.versions = {video["id"]: video["version"] for video in table["videos"]}
        except FileNotFoundError as error:
            raise IndexFolderError(f"{folder}: the vectors of the index are gone; {AGAIN}") from error
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise _damaged(folder, error) from error
        return index

    def add(self, video_id: str, bank: Bank, *, version: str = "") -> None:
        """One video; replaces what was there under this id. bank.tokens (N, D) of unit length.

        Raises IndexFolderError when the vectors are not as wide as the index.
        """
        if bank.tokens.shape[1] != self.header.width:
            raise IndexFolderError(
                f"{video_id}: vectors are {bank.tokens.shape[1]} wide, the index holds {self.header.width}; "
                "index into another folder"
            )
        self.banks[video_id] = bank
        self.versions[video_id] = version
        self.__dict__.pop("_joined", None)

    def remove(self, video_id: str) -> None:
        """Forget one video; nothing happens if it is not there."""
        self.banks.pop(video_id, None)
        self.versions.pop(video_id, None)
        self.__dict__.pop("_joined", None)

    def search(self, query: Tensor, *, k: int) -> list[Candidate]:
        """query (D,) -> the k best videos, best first; equal scores in order of their ids."""
        if not self.banks:
            return []
        all_ = self._joined
        token_scores = all_.tokens @ (query / query.norm().clamp_min(1e-12))  # (ΣN,)
        scores = self._fuse(token_scores)  # (V,)
        best = scores.argsort(descending=True, stable=True)[:k].tolist()
        return [
            Candidate(
                all_.ids[v],
                float(scores[v]),
                token_scores[all_.start[v] : all_.start[v + 1]],
                self.banks[all_.ids[v]],
            )
            for v in best
        ]

    def save(self, folder: Path) -> None:
        """Write to disk. Raises IndexFolderError for a full or read-only disk; the old index then stays."""
        order = sorted(self.banks)
        empty = Bank(torch.empty(0, self.header.width), torch.empty(0, 2), 0)
        banks = [self.banks[video_id] for video_id in order] or [empty]
        content = save(
            {
                "tokens": torch.cat([bank.tokens for bank in banks]).float(),
                "spans": torch.cat([bank.spans for bank in banks]).float(),
            }
        )
        name = f"vectors-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
        videos = [
            {
                "id": video_id,
                "tokens": len(self.banks[video_id].tokens),
                "frames": self.banks[video_id].num_frames,
                "version": self.versions[video_id],
            }
            for video_id in order
        ]
        table = {"header": to_dict(self.header), "vectors": name, "videos": videos}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / name, content)
            write_whole(folder / TABLE, json.dumps(table, indent=1, ensure_ascii=False).encode())
            for old in folder.glob("vectors-*.safetensors"):
                if old.name != name:
                    old.unlink()
        except OSError as error:
            raise IndexFolderError(
                f"{folder}: the index cannot be written ({error.strerror}); free some space or choose another folder, "
                "then run the same command again"
            ) from error

    def __len__(self) -> int:
        return len(self.banks)

    @cached_property
    def _joined(self) -> _Joined:
        ids = sorted(self.banks)
        sizes = [len(self.banks[video_id].tokens) for video_id in ids]
        groups = [
            torch.arange(size).ge(self.banks[video_id].num_frames).long() + 2 * v
            for v, (video_id, size) in enumerate(zip(ids, sizes, strict=True))
        ]
        start = [0, *torch.tensor(sizes).cumsum(0).tolist()]
        return _Joined(ids, torch.cat([self.banks[video_id].tokens for video_id in ids]), torch.cat(groups), start)

    def _fuse(self, token_scores: Tensor) -> Tensor:
        """(ΣN,) -> (V,): best of each branch, weighted; a branch of no weight may have no tokens."""
        joined = self._joined
        best = token_scores.new_full((2 * len(joined.ids),), -torch.inf)
        frame, clip = best.scatter_reduce(0, joined.group, token_scores, "amax").view(-1, 2).unbind(1)
        return BranchScores(frame=frame, clip=clip).fused(self.header.clip_weight)


def read_header(folder: Path) -> IndexHeader | None:
    """What an index was made with, without reading its vectors; None where there is no index.

    Raises IndexFolderError for a damaged or newer one.
    """
    found = _read_table(folder)
    return found[0] if found else None


def _read_table(folder: Path) -> tuple[IndexHeader, dict[str, Any]] | None:
    path = folder / TABLE
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        header = from_dict(IndexHeader, table["header"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise _damaged(folder, error) from error
    if header.version != VERSION:
        raise IndexFolderError(f"{path}: is of version {header.version}, this prvr reads {VERSION}; {AGAIN}")
    return header, table


def _damaged(folder: Path, error: Exception) -> IndexFolderError:
    return IndexFolderError(f"{folder / TABLE}: the index is damaged ({error}); {AGAIN}")


def _split(videos: list[dict[str, Any]], tensors: dict[str, Tensor]) -> dict[str, Bank]:
    sizes = [video["tokens"] for video in videos]
    tokens, spans = torch.split(tensors["tokens"], sizes), torch.split(tensors["spans"], sizes)
    rows = zip(videos, tokens, spans, strict=True)
    return {video["id"]: Bank(token, span, video["frames"]) for video, token, span in rows}
