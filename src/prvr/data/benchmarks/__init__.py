"""The four benchmarks: facts, readers and writers of their authors' files and of the field's caption files."""

from prvr.data.benchmarks.catalogue import BENCHMARKS, Benchmark, benchmark
from prvr.data.benchmarks.opening import Annotations, open_annotations
from prvr.data.benchmarks.splits import SplitInfo, describe, hold_out

__all__ = [
    "BENCHMARKS",
    "Annotations",
    "Benchmark",
    "SplitInfo",
    "benchmark",
    "describe",
    "hold_out",
    "open_annotations",
]
