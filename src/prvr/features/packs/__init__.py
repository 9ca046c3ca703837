"""Features that others published, read as they lie: HDF5 pairs, MS-SL's BigFile, Moment-DETR's npz folders."""

from prvr.features.packs.base import FeaturePack
from prvr.features.packs.bigfile import BigFilePack
from prvr.features.packs.content import content_of
from prvr.features.packs.folder import PackFolder, open_pack, open_packs, packs_at
from prvr.features.packs.hdf5 import Hdf5Pack, write_hdf5
from prvr.features.packs.npz import NpzPack
from prvr.features.packs.words import NO_NUMBERS, TextKeys, match, read_words, words_of

__all__ = [
    "NO_NUMBERS",
    "BigFilePack",
    "FeaturePack",
    "Hdf5Pack",
    "NpzPack",
    "PackFolder",
    "TextKeys",
    "content_of",
    "match",
    "open_pack",
    "open_packs",
    "packs_at",
    "read_words",
    "words_of",
    "write_hdf5",
]
