"""Verification: compares stored arrays with their source, block by block."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from chorus_jax.checkpoints import boxes, check_same, open_arrays
from convert.plan import Fill


def compare(
    fills: Mapping[str, Fill], folder: Path, progress: Callable[[int], object]
) -> None:
    """Reads source tensors and stored arrays again and compares every value.

    Values must have equal bits after the cast to the stored dtype.

    Args:
        fills: the sources of each array, by its name.
        folder: the folder with the stored arrays.
        progress: called with the bytes of each compared block.

    Raises:
        ValueError: if arrays differ, with their names.
    """
    stored = open_arrays(folder)
    check_same(stored, fills, folder)
    different = []
    for name, fill in fills.items():
        array, count = stored[name], 0
        if array.dtype != fill.dtype:
            different.append(f"{name} ({array.dtype}, needs {fill.dtype})")
            continue
        for box in boxes(fill.shape, fill.dtype):
            source_bits, written_bits = _bits(fill.read(box)), _bits(array.read(box))
            count += int(np.count_nonzero(source_bits != written_bits))
            progress(source_bits.nbytes)
        if count:
            different.append(f"{name} ({array.dtype}, {count} values)")
    if different:
        raise ValueError(
            f"{len(different)} arrays in {folder} differ from the source: "
            f"{', '.join(different[:10])}; the disk or the source changed them"
        )


def _bits(block: np.ndarray) -> np.ndarray:
    """The bits of the values as integers, so that -0.0 differs from 0.0, and equal NaNs
    are equal."""
    return block.view(f"u{block.dtype.itemsize}")
