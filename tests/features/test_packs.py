from __future__ import annotations

import ast
import io
import json
import multiprocessing
import pickle
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prvr.core.errors import FeatureError
from prvr.core.types import Query
from prvr.features.packs import (
    BigFilePack,
    Hdf5Pack,
    NpzPack,
    match,
    open_pack,
    open_packs,
    packs_at,
    read_words,
    write_hdf5,
)
from prvr.features.packs.bigfile import parse_dict
from tests.fresh import Fresh

ROWS = {"b": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "a": torch.tensor([[0.5, -0.25]])}


def bigfile(folder: Path, frames: dict[str, list[str]], rows: dict[str, list[float]]) -> Path:
    """A BigFile written value by value."""
    folder.mkdir(parents=True)
    (folder / "shape.txt").write_text(f"{len(rows)} {len(next(iter(rows.values())))}\n")
    (folder / "id.txt").write_text(" ".join(rows))
    (folder / "feature.bin").write_bytes(b"".join(struct.pack("<f", value) for row in rows.values() for value in row))
    (folder / "video2frames.txt").write_text(repr(frames))
    return folder


def query(query_id: str, text: str = "", **source: object) -> Query:
    return Query(query_id=query_id, video_id=query_id.partition("#")[0], text=text, source=source or None)


def msc(root: Path, videos: dict[str, Tensor], texts: dict[str, Tensor], *, name: str = "activitynet_clip_L14") -> Path:
    write_hdf5(root / "FeatureData" / f"{name}.h5", videos.items())
    write_hdf5(root / "TextData" / f"{name}.h5", texts.items())
    return root


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_hdf5_of_any_float_reads_as_float32(tmp_path: Path, dtype: str) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for key, rows in ROWS.items():
            file[key] = rows.numpy().astype(dtype)
        file["vector"] = np.array([7, 8], dtype=dtype)
    pack = Hdf5Pack(tmp_path / "x.h5")
    assert (pack.name, pack.width, len(pack), pack.dtype) == ("x", 2, 3, dtype)
    assert "a" in pack
    assert "c" not in pack
    for key, rows in ROWS.items():
        assert pack.read(key).dtype == torch.float32
        assert torch.equal(pack.read(key), rows)
    assert pack.read("vector").tolist() == [[7, 8]]


def test_hdf5_is_shared_by_threads_and_across_a_fork(tmp_path: Path) -> None:
    rows = {f"v{i}": torch.randn(5, 4) for i in range(40)}
    write_hdf5(tmp_path / "x.h5", rows.items())
    pack = Hdf5Pack(tmp_path / "x.h5")
    with ThreadPoolExecutor(8) as pool:
        assert all(map(torch.equal, pool.map(pack.read, rows), rows.values()))
    with multiprocessing.get_context("fork").Pool(2) as workers:
        read = workers.map(_Sums(pack), rows)
    assert read == [float(value.sum()) for value in rows.values()]
    assert torch.equal(pickle.loads(pickle.dumps(pack)).read("v3"), rows["v3"])


class _Sums:
    def __init__(self, pack: Hdf5Pack) -> None:
        self.pack = pack

    def __call__(self, key: str) -> float:
        return float(self.pack.read(key).sum())


def test_a_pack_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    write_hdf5(path, ROWS.items(), note="old")

    def broken() -> Iterator[tuple[str, Tensor]]:
        yield "new", torch.ones(1, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_hdf5(path, broken())
    assert sorted(Hdf5Pack(path).keys()) == ["a", "b"]
    assert [file.name for file in tmp_path.iterdir()] == ["x.h5"]
    for key, why in (("a/b", "cannot be a key"), ("", "cannot be a key"), ("a", "comes twice")):
        with pytest.raises(FeatureError, match=why):
            write_hdf5(path, [("a", ROWS["a"]), (key, ROWS["a"])])
    with pytest.raises(FeatureError, match="cannot be written"):
        write_hdf5(path / "below-a-file" / "y.h5", ROWS.items())


FULL_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from prvr.core.errors import FeatureError
from prvr.features.packs import write_hdf5
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
for shape, count in (((12, 64), 500), ((1, 4), 5000), ((1000, 2000), 3)):
    try:
        write_hdf5(Path(sys.argv[1]), ((f"v{i}", torch.zeros(shape)) for i in range(count)))
    except FeatureError as error:
        print(error)
"""


def test_a_full_disk_is_one_line_and_no_crash(tmp_path: Path) -> None:
    line = f"{tmp_path / 'x.h5'}: cannot be written (File too large); free some space or choose another folder\n"
    with Fresh(FULL_DISK, tmp_path / "x.h5") as limited:
        assert (limited.wait(), limited.said()) == (0, line * 3)
    assert not list(tmp_path.iterdir())


def test_damaged_hdf5_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    write_hdf5(path, ((f"v{i}", torch.randn(9, 8)) for i in range(300)))
    whole = path.read_bytes()
    for content, why in (
        (whole[: len(whole) // 2], "not a whole HDF5 file"),
        (whole[:2000] + bytes(len(whole) - 2000), "keys is damaged"),
        (b"<html>sign in to download</html>", "not a whole HDF5 file"),
    ):
        path.write_bytes(content)
        with pytest.raises(FeatureError, match=why):
            Hdf5Pack(path)
    with h5py.File(path, "w") as file:
        file["first"] = np.zeros((2, 8), np.float32)
        file["narrow"] = np.zeros((2, 7), np.float32)
        file["whole numbers"] = np.zeros((2, 8), np.int64)
        file.create_group("group")
    pack = Hdf5Pack(path)
    for key, why in (
        ("narrow", r"\(n, 8\)"),
        ("whole numbers", "int64"),
        ("group", "no array"),
        ("gone", "no key 'gone' among its 4"),
    ):
        with pytest.raises(FeatureError, match=why):
            pack.read(key)


def test_bigfile_gathers_what_a_loop_over_frames_reads(tmp_path: Path) -> None:
    rows = {f"f{i}": [float(i), i + 0.5, -i] for i in range(7)}
    frames = {"v": ["f3", "f0", "f6"], "it's": ["f1"], "empty": []}
    pack = BigFilePack(bigfile(tmp_path / "i3d", frames, rows))
    assert (pack.name, pack.width, len(pack), list(pack.keys())) == ("i3d", 3, 3, ["v", "it's", "empty"])
    for video, ids in frames.items():
        assert pack.read(video).tolist() == [rows[frame] for frame in ids]
    with pytest.raises(FeatureError, match="no key 'w' among its 3"):
        pack.read("w")


def test_damaged_bigfile_is_refused_with_the_reason(tmp_path: Path) -> None:
    def spoil(name: str, change: Callable[[Path], object]) -> Path:
        folder = bigfile(tmp_path / f"{len(list(tmp_path.iterdir()))}", {"v": ["f0"]}, {"f0": [1.0, 2], "f1": [3, 4]})
        change(folder / name)
        return folder

    for name, change, why in (
        (
            "feature.bin",
            lambda path: path.write_bytes(path.read_bytes()[:-1]),
            r"has 15 bytes, but 2 × 2 float32 are 16",
        ),
        ("id.txt", lambda path: path.write_text("f0"), "1 ids for 2 rows"),
        ("shape.txt", lambda path: path.write_text("two 2"), "two whole numbers"),
        ("video2frames.txt", lambda path: path.write_text("{'v': ['f0', 'f9']}"), "1 frames are not in id.txt"),
        ("video2frames.txt", lambda path: path.write_text("print('hello')"), "not a Python dict"),
        ("video2frames.txt", lambda path: path.write_text("['v']"), "expected {video id"),
        ("id.txt", lambda path: path.unlink(), "lacks id.txt"),
    ):
        with pytest.raises(FeatureError, match=why):
            BigFilePack(spoil(name, change))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), st.lists(st.text())))
def test_the_fast_way_to_read_a_dict_is_the_slow_one(value: dict[str, list[str]]) -> None:
    assert parse_dict(repr(value)) == ast.literal_eval(repr(value)) == value


def npz(folder: Path, **files: dict[str, list[list[float]]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for key, arrays in files.items():
        np.savez(folder / f"{key}.npz", allow_pickle=False, **{n: np.array(r, np.float16) for n, r in arrays.items()})
    return folder


def test_npz_folders_stand_side_by_side_cut_to_the_shorter(tmp_path: Path) -> None:
    slow = npz(tmp_path / "slowfast_features", v={"features": [[3, 4], [0, 2], [9, 9]]}, only={"features": [[1, 1]]})
    clip = npz(tmp_path / "clip_features", v={"features": [[5], [-2]]})
    npz(tmp_path / "clip_text_features", qid7={"last_hidden_state": [[1, 2], [3, 4]], "pooler_output": [[0, 0]]})
    assert NpzPack(slow).read("v").tolist() == [[3, 4], [0, 2], [9, 9]]  # one folder: as it is
    both = NpzPack(slow, clip)
    assert (both.width, list(both.keys())) == (3, ["v"])
    torch.testing.assert_close(both.read("v"), torch.tensor([[0.6, 0.8, 1], [0, 1, -1]]), atol=2e-5, rtol=0)
    packs = open_packs(tmp_path)
    assert packs is not None
    assert (packs.video.name, packs.spec.video_width) == ("slowfast_features+clip_features", 3)
    assert read_words(packs.text, match(packs.text, [query("abc#7")]).of["abc#7"]).tolist() == [[1, 2], [3, 4]]
    for content in (b"PK\x03\x04 cut off", b"\x93NUMPY\x01\x00", b"", _bare_array()):
        (clip / "v.npz").write_bytes(content)
        with pytest.raises(FeatureError, match="not a whole npz"):
            both.read("v")


def _bare_array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.ones((2, 2)))
    return content.getvalue()


def test_npz_files_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", features=np.array([{"code": "that runs"}], dtype=object))
    with pytest.raises(FeatureError, match="not a whole npz"):
        NpzPack(tmp_path)


def test_ids_with_and_without_their_quirks(tmp_path: Path) -> None:
    texts = {"v_x#enc#0": torch.ones(3, 2), "y#1": torch.ones(2), "v_x#0#enc#1": torch.zeros(1, 2)}
    packs = open_packs(msc(tmp_path, {"x": ROWS["b"], "v_y": ROWS["a"]}, texts))
    assert packs is not None
    assert packs.video_keys("v_x") == ["x"]  # ActivityNet's packs leave the v_ out
    assert packs.video_keys("y") == ["v_y"]
    found = match(packs.text, map(query, ("v_x#0", "x#enc#0", "y#enc#1", "v_x#enc#2")))
    assert found.of == {"v_x#0": "v_x#enc#0", "x#enc#0": "v_x#enc#0", "y#enc#1": "y#1"}
    assert found.missing == ["v_x#enc#2"]
    assert read_words(packs.text, "y#1").tolist() == [[1, 1]]
    assert packs.video_keys("z") == []
    with pytest.raises(FeatureError, match=r"FeatureData.*no key 'z' among its 2"):
        packs.read_video("z")


def test_times_are_even_over_the_length(tmp_path: Path) -> None:
    packs = open_packs(msc(tmp_path, {"x": torch.randn(4, 2)}, {"x#0": ROWS["a"]}))
    assert packs is not None
    video = packs.read_video("x", duration_s=10.0)
    assert (video.times.tolist(), video.duration_s) == ([0, 2.5, 5, 7.5], 10.0)
    assert packs.read_video("x").times.tolist() == [0, 1, 2, 3]  # no length known: places


def test_cuts_of_one_video_lie_end_to_end_in_order_of_start(tmp_path: Path) -> None:
    cuts = {f"a_b_{span}": torch.full((n, 2), float(n)) for span, n in (("210.0_360.0", 3), ("60.0_210.0", 2))}
    packs = open_packs(msc(tmp_path, cuts, {"a_b#0": ROWS["a"]}))
    assert packs is not None
    video = packs.read_video("a_b")
    assert video.features[:, 0].tolist() == [2, 2, 3, 3, 3]
    assert (video.times.tolist(), video.duration_s) == ([0, 2, 4, 6, 8], 10)  # a feature every 2 s
    assert packs.read_video("a_b", duration_s=20).times.tolist() == [0, 4, 8, 12, 16]
    assert packs.read_video("a_b_60.0_210.0").duration_s == 2  # asked for by its own key: no quirk
    assert packs.video_keys("a") == []


def test_the_bundle_of_ms_sl_is_two_pairs(tmp_path: Path) -> None:
    root = tmp_path / "tvr"
    bigfile(root / "FeatureData" / "i3d_resnet", {"v": ["f0"]}, {"f0": [1.0, 2, 3]})
    write_hdf5(root / "FeatureData" / "new_clip_vit_32_tvr_vid_features.hdf5", ROWS.items())
    for name in ("roberta_tvr_query_feat", "clip_ViT_B_32_tvr_query_feat"):
        write_hdf5(root / "TextData" / f"{name}.hdf5", ROWS.items())
    packs = open_packs(tmp_path)
    assert packs is not None
    assert (packs.video.name, packs.text.name) == ("i3d_resnet", "roberta_tvr_query_feat")
    clip = open_packs(tmp_path, video="new_clip_vit_32_tvr_vid_features", text="clip_ViT_B_32_tvr_query_feat")
    assert clip is not None
    assert (clip.video.width, clip.text.name) == (2, "clip_ViT_B_32_tvr_query_feat")
    named = packs_at(root / "FeatureData" / "new_clip_vit_32_tvr_vid_features.hdf5")
    assert named is not None
    assert named.spec == clip.spec
    student = packs_at(root / "FeatureData" / "i3d_resnet")
    assert student is not None
    assert student.spec == packs.spec
    assert packs_at(root / "FeatureData" / "nothing") is None
    with pytest.raises(FeatureError, match="choose one of the video packs"):
        open_packs(root, text="clip_ViT_B_32_tvr_query_feat")
    with pytest.raises(FeatureError, match="no pack 'i3d'; there are new_clip"):
        open_packs(root, video="i3d")
    assert open_pack(root / "FeatureData" / "i3d_resnet").width == 3


@pytest.mark.parametrize(
    ("video", "text", "simulated", "says"),
    [
        ("tvr_clip_L14", "tvr_clip_L14", False, (True, True)),
        ("new_clip_vit_32_x_vid_features", "clip_ViT_B_32_x_query_feat", False, (True, True)),
        ("clip_L14", "roberta_x_query_feat", False, (False, False)),
        ("own", "own", False, (None, None)),
        ("tvr_clip_L14", "tvr_clip_L14", True, (False, True)),  # a random map, but the sentence is the last row
    ],
)
def test_names_say_what_encoder_made_a_pack(
    video: str, text: str, simulated: bool, says: tuple[bool | None, bool | None], tmp_path: Path
) -> None:
    write_hdf5(tmp_path / "FeatureData" / f"{video}.h5", ROWS.items())
    write_hdf5(tmp_path / "TextData" / f"{text}.h5", ROWS.items())
    if simulated:
        (tmp_path / "simulated.json").write_text("{}")
    packs = open_packs(tmp_path)
    assert packs is not None
    assert (packs.spec.shared_space, packs.spec.sentence_vector) == says
    assert packs.spec.comparable == (says[0] is not False)
    write_hdf5(tmp_path / "FeatureData" / f"{video}.h5", [(key, torch.zeros(2, 5)) for key, _ in ROWS.items()])
    wider = open_packs(tmp_path)
    assert wider is not None
    assert (wider.spec.shared_space, wider.spec.comparable) == (False, False), "of another width, of another space"


def test_half_a_pair_two_benchmarks_and_nothing(tmp_path: Path) -> None:
    assert open_packs(tmp_path) is None
    assert open_packs(tmp_path / "nowhere") is None
    write_hdf5(tmp_path / "tvr" / "FeatureData" / "tvr_clip_L14.h5", ROWS.items())
    with pytest.raises(FeatureError, match="TextData: no pack here, though its other half"):
        open_packs(tmp_path)
    msc(tmp_path / "charades", ROWS, ROWS)
    with pytest.raises(FeatureError, match="packs of charades, tvr; name one"):
        open_packs(tmp_path)


def test_the_revision_changes_with_the_pack(tmp_path: Path) -> None:
    def spec(name: str, videos: dict[str, Tensor], *, simulated: bool = False) -> tuple[str, str, bool]:
        root = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        packs = open_packs(msc(root, videos, ROWS, name=name))
        if simulated:
            (root / "simulated.json").write_text(json.dumps({"config": {"seconds_per_frame": 2.0}}))
            packs = open_packs(root)
            assert packs is not None
            assert packs.read_video("b").duration_s == 4
        assert packs is not None
        return packs.spec.name, packs.spec.revision, packs.spec.simulated

    first = spec("x", ROWS)
    assert spec("x", dict(reversed(ROWS.items()))) == first == ("x", first[1], False)
    others = [spec("y", ROWS), spec("x", {**ROWS, "c": ROWS["a"]}), spec("x", {**ROWS, "b": ROWS["b"] + 1})]
    assert len({first[1], *(revision for _, revision, _ in others)}) == 4
    assert spec("x", ROWS, simulated=True) == ("simulated x", first[1], True)


def test_an_hdf5_file_that_leads_to_another_one_is_refused(tmp_path: Path) -> None:
    """Links, raw storage and virtual arrays: what lies elsewhere on the machine is not for a pack to say."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["s"] = np.ones((2, 2), "f4")
    (tmp_path / "secret.bin").write_bytes(np.ones(4, "f4").tobytes())
    layout = h5py.VirtualLayout((2, 2), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "s", (2, 2))
    for number in range(4):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file["a"] = np.zeros((2, 2), "f4")
            if number == 0:
                file["b"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/s")
            elif number == 1:
                file["group/b"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/s")
            elif number == 2:
                file.create_dataset("b", (2, 2), "f4", external=[(str(tmp_path / "secret.bin"), 0, 16)])
            else:
                file.create_virtual_dataset("b", layout)
        with pytest.raises(FeatureError, match=r"key '(group/)?b' leads to another file"):
            Hdf5Pack(tmp_path / f"{number}.h5").read("b")
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["a"] = np.ones((2, 2), "f4")
        file["b"] = h5py.SoftLink("/a")
    assert Hdf5Pack(tmp_path / "own.h5").read("b").sum() == 4


def npy(shape: tuple[int, ...], content: bytes) -> bytes:
    """A file of one array whose header says what it likes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def test_what_declares_more_than_is_there_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    terabytes, zeros = (4_000_000_000, 1000), (50_000, 1024)  # 16 TB, and 200 MB that are 200 kB packed
    for name, array in (("absurd", npy(terabytes, bytes(64))), ("zeros", npy(zeros, bytes(zeros[0] * zeros[1] * 4)))):
        (tmp_path / name).mkdir()
        with ZipFile(tmp_path / name / "v.npz", "w", ZIP_DEFLATED) as archive:
            archive.writestr("features.npy", array)
        with pytest.raises(FeatureError, match=r"v\.npz: features: declares [\d,]+ bytes") as refused:
            NpzPack(tmp_path / name)
        assert "\n" not in str(refused.value)
    for name, options in (("never", {}), ("packed", {"compression": "gzip", "data": np.zeros(zeros, "f4")})):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset("v", terabytes if name == "never" else None, "f4", chunks=(1000, 1000), **options)
        with pytest.raises(FeatureError, match=r"key 'v': declares [\d,]+ bytes, of which [\d,]+ are there"):
            Hdf5Pack(tmp_path / f"{name}.h5")
