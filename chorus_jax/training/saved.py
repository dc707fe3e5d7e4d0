"""Training states on disk: folders `step-N`, each complete or absent."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

from chorus_jax.checkpoints import (
    StreamedArray,
    aside,
    check_same,
    open_arrays,
    write_arrays,
)
from chorus_jax.checkpoints.folder import remove_partial

S = TypeVar("S")

KEPT = 2


def save(folder: Path, state: S, step: int) -> Path:
    """Writes a pytree of arrays as `step-N`; removes all but the last `KEPT` states,
    and what killed processes left of other ones."""
    for left in folder.glob(".step-*.partial"):
        remove_partial(folder / left.name[1:].removesuffix(".partial"))
    target = folder / f"step-{step:07d}"
    if target.exists():
        return target
    arrays = {name: _streamed(np.asarray(x)) for name, x in _named(state).items()}
    with aside(target) as partial:
        write_arrays(partial / "state", arrays)
    for old in steps(folder)[:-KEPT]:
        shutil.rmtree(old)
    return target


def newest(folder: Path, start: Callable[[], S]) -> S:
    """The newest state in the folder, or `start()` if there is none.

    Raises a ValueError if the stored state is of another model or optimiser.
    """
    saved_steps = steps(folder)
    if not saved_steps:
        return start()
    return restore(saved_steps[-1], jax.eval_shape(start))


def restore(path: Path, like: S) -> S:
    """The state in a folder `step-N`; `like` is a pytree of the same structure,
    abstract or not."""
    stored, targets = open_arrays((path / "state").absolute()), _named(like)
    check_same(stored, targets, path)
    leaves = [jax.numpy.array(_read(stored[name])) for name in targets]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def steps(folder: Path) -> list[Path]:
    """The states in a folder, oldest first."""
    return sorted(folder.glob("step-*"))


def _read(array: StreamedArray) -> np.ndarray:
    # Arrays are read in one block, since training states are of small models.
    return np.asarray(array.read((slice(None),) * len(array.shape)))


def _streamed(array: np.ndarray) -> StreamedArray:
    return StreamedArray(array.shape, array.dtype, lambda box: array[box])


def _named(tree: object) -> dict:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in leaves
    }
    if len(named) != len(leaves) or not math.prod(len(name) for name in named):
        raise ValueError("a state's leaves need names of their own")
    return named
