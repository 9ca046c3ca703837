"""Features that others published, read as they lie: HDF5 pairs, MS-SL's BigFile, Moment-DETR's npz folders."""

from prvr.features.packs.base import FeaturePack
from prvr.features.packs.bigfile import BigFilePack
from prvr.features.packs.folder import PackFolder, open_pack, open_packs, packs_at
from prvr.features.packs.hdf5 import Hdf5Pack, write_hdf5
from prvr.features.packs.npz import NpzPack

__all__ = [
    "BigFilePack",
    "FeaturePack",
    "Hdf5Pack",
    "NpzPack",
    "PackFolder",
    "open_pack",
    "open_packs",
    "packs_at",
    "write_hdf5",
]
