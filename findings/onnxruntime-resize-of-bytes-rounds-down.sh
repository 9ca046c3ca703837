#!/usr/bin/env bash
# onnxruntime 1.32.0 (CPU) and the reference evaluator of onnx 1.23.2: Resize, mode "linear", of a picture in bytes, as
# preprocessing that is built into a model does it.
# Guess: values are rounded to the nearest grey level, with antialias=1 and without.
# Seen: with antialias=1 they are rounded; without it the fraction is cut off: 63.75 becomes 63 (64 in the reference), so that
# the picture gets darker, by 0.37 grey levels on the average when it is made twice as wide. In float32 both agree.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def resized(picture, **options):
    """What onnxruntime and the reference make of it, twice as wide, as float64."""
    kind = helper.np_dtype_to_tensor_dtype(picture.dtype)
    graph = helper.make_graph(
        [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear", **options)],
        "g",
        [helper.make_tensor_value_info("x", kind, picture.shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 1, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = session.run(None, {"x": picture})[0], ReferenceEvaluator(model).run(None, {"x": picture})[0]
    return [array.astype(np.float64) for array in given]


picture = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8)
exact = resized(picture.astype(np.float32))[0]
for options in ({}, {"antialias": 1}):
    ours, reference = resized(picture, **options)
    off = (ours - exact).mean(), (reference - exact).mean()
    print(options, "mean error in grey levels: onnxruntime %.3f, reference %.3f" % off)
    if options:
        assert np.array_equal(ours, np.floor(exact + 0.5)), off
    else:
        assert off[0] < -0.3 and np.array_equal(ours, np.floor(exact)), off
    assert np.array_equal(reference, np.round(exact)), off
assert np.abs(np.subtract(*resized(picture.astype(np.float32)))).max() < 1e-3
PY
