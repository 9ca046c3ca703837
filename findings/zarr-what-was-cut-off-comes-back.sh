#!/usr/bin/env bash
# zarr 3.1.6 (h5py 3.16.0 beside it): features of ten frames, in chunks of eight; cut to three frames with `resize`, then made
# longer again, as a store does whose video was replaced.
# Guess: rows 3 to 9 are the fill value, as in HDF5.
# Seen: in HDF5 they are. In zarr rows 3 to 7 are the old numbers: only whole chunks are taken away, and what lies in the last
# chunk beyond the end is kept. Only the rows of the chunk that was taken away have the fill value.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check zarr==3.1.6 h5py==3.16.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import h5py
import numpy as np
import zarr

rows = np.arange(10, dtype=np.float32)
array = zarr.create_array("store.zarr", shape=(10,), chunks=(8,), dtype="f4", fill_value=-1)
array[:] = rows
array.resize((3,))
cut = zarr.open_array("store.zarr", mode="r")[:].tolist()
array.resize((10,))
in_zarr = zarr.open_array("store.zarr", mode="r")[:].tolist()
with h5py.File("store.h5", "w") as file:
    data = file.create_dataset("x", (10,), maxshape=(None,), chunks=(8,), dtype="f4", fillvalue=-1)
    data[:] = rows
    data.resize((3,))
    data.resize((10,))
    in_hdf5 = data[:].tolist()
print("cut:", cut)
print("zarr, longer again:", in_zarr)
print("HDF5, longer again:", in_hdf5)
assert cut == [0, 1, 2], cut
assert in_zarr == [0, 1, 2, 3, 4, 5, 6, 7, -1, -1], in_zarr
assert in_hdf5 == [0, 1, 2] + [-1] * 7, in_hdf5
PY
