"""Saves Flax NNX modules to a checkpoint folder and loads them."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from chorus_jax.checkpoints import verified
from chorus_jax.checkpoints.card import Card, Part, config_from, fingerprint
from chorus_jax.checkpoints.fields import checked, described
from chorus_jax.checkpoints.folder import aside, check_space
from chorus_jax.checkpoints.reading import Hash, Untaken, check_same, read_array
from chorus_jax.checkpoints.stored import (
    StreamedArray,
    digest,
    open_arrays,
)
from chorus_jax.devices.sharding import unsharded

M = TypeVar("M", bound=nnx.Module)


def names(module: nnx.Module) -> dict[str, Any]:
    """The arrays of a module (abstract or not) by dotted path."""
    leaves = jax.tree_util.tree_leaves_with_path(
        module, is_leaf=lambda x: isinstance(x, nnx.Variable)
    )
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf.get_value()
        for path, leaf in leaves
    }


def load(
    folder: str | Path,
    part: str,
    model: Callable[..., M],
    config: type,
    *,
    dtype: str | None = None,
    place: Callable[[M], M] | None = None,
    card: Card | None = None,
    verify: bool = False,
) -> M:
    """Loads a part of a checkpoint folder as a module `model(config, rngs=...)`.

    Args:
        folder: the checkpoint.
        part: the name of the part.
        model: the module's class.
        config: the class of its config.
        dtype: the dtype to which weights are cast while they are read; None keeps the
            stored one.
        place: maps the abstract module to one with a sharding in place of each
            parameter, such as `lambda m: sharding.shardings(m, mesh)`; every device
            then gets its own share. None puts all on jax's default device.
        card: the folder's card, if it was read already. If all parts are loaded with
            one card, weights that are replaced between the loads are detected.
        verify: whether to compute the digests of all weights even if they were verified
            before and the files are unchanged since (see `verified`).

    Raises:
        ValueError: if the folder holds another model, or if the weights or their config
            differ from the card's in any bit.
    """
    entry = (Card.read(folder) if card is None else card).part(part)
    if entry.model != model.__name__:
        raise ValueError(
            f"{part!r} in {folder} is a {entry.model}, not a {model.__name__}: "
            "give the folder of another model"
        )
    settings: Any = config_from(config, entry.config)
    if dtype is not None:
        settings = checked(dataclasses.replace(settings, dtype=dtype))
    module, path = abstract(model, settings), Path(folder) / part
    if not verify and verified.is_known(path, entry):
        loaded = _restored(path, module, place, Untaken)[0]
        if verified.is_known(path, entry):  # unchanged while it was read
            return loaded
    before = verified.state_of(path, entry)
    loaded, digests = _restored(path, module, place)
    if _fingerprint(entry.config, digests) != entry.fingerprint:
        raise ValueError(
            f"{part!r} in {folder} is not what its card describes: the weights or "
            "their config were changed or damaged; convert or copy them again"
        )
    verified.remember(path, entry, before)
    return loaded


class Zeros(nnx.Rngs):
    """An `nnx.Rngs` that gives zeros, which trace faster than random numbers."""

    @property
    def params(self) -> "Zeros":
        """The stream of parameters."""
        return self

    def normal(self, shape: tuple[int, ...]) -> jax.Array:
        """Zeros of this shape, in place of random numbers."""
        return jnp.zeros(shape)

    def split(self, k: Any) -> "Zeros":
        """Splits the stream as `nnx.Rngs` does; the parts give zeros too."""
        return Zeros(self.default.split(k))


def abstract(model: Callable[..., M], config: Any) -> M:
    """The module `model(config, rngs=...)` with shapes in place of arrays.

    Raises a ValueError if there is no model with the config's values.
    """
    try:
        return nnx.eval_shape(lambda: model(config, rngs=Zeros(0)))
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        reason = str(error).strip().split("\n", 1)[0][:200]
        raise ValueError(f"there is no model with {config}: {reason}") from error


def restore(folder: Path, module: M, place: Callable[[M], M] | None = None) -> M:
    """Loads a checkpoint of named arrays into an abstract module (see `load`).

    Arrays pass through host memory one by one. Orbax's own restore reads such a folder
    too, but reads every block once per device and meanwhile holds the model twice.
    """
    return _restored(folder, module, place)[0]


def _restored(
    folder: Path,
    module: M,
    place: Callable[[M], M] | None,
    make: Callable[[], Hash] = hashlib.sha256,
) -> tuple[M, dict[str, str]]:
    """The module, and the digests of its stored arrays by hashes from `make`."""
    targets, stored = names(module), open_arrays(folder.absolute())
    check_same(stored, targets, folder)
    places = names((place or unsharded)(module))
    arrays, digests = [], {}
    for name, x in targets.items():
        array, digest = read_array(
            stored[name], np.dtype(x.dtype), places[name], make()
        )
        arrays.append(array)
        digests[_described(name, stored[name])] = digest
    return jax.tree.unflatten(jax.tree.structure(module), arrays), digests


def write_arrays(
    folder: Path,
    arrays: Mapping[str, StreamedArray],
    compressor: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Writes an Orbax checkpoint of named arrays; returns the digest of each.

    `folder` must be absolute and not exist. Only a few blocks are in memory at once.
    `compressor` is given as in zarr's metadata.
    """
    # Imported here: Orbax takes long to import, and reading does not need it.
    from chorus_jax.checkpoints.writing import write

    return write(folder, arrays, compressor)


def save(
    folder: str | Path,
    parts: Mapping[str, Any],
    *,
    family: str,
    scheduler: Mapping[str, Any] | None = None,
    compressor: Mapping[str, Any] | None = None,
) -> Card:
    """Writes modules as a new checkpoint folder, which `load` reads; returns its card.

    Every module must have a `config` dataclass. The arrays must be addressable from
    this process; they pass through host memory block by block. A `compressor`, given as
    in zarr's metadata, makes files smaller and slower to read.
    """
    arrays = {
        part: {name: _streamed(x) for name, x in names(module).items()}
        for part, module in parts.items()
    }
    sizes = (x for part in arrays.values() for x in part.values())
    needed = sum(math.prod(x.shape) * x.dtype.itemsize for x in sizes)
    with aside(Path(folder)) as partial:
        check_space(Path(folder), needed)
        entries = {}
        for part, module in parts.items():
            digests = write_arrays(partial / part, arrays[part], compressor)
            entries[part] = describe(module, module.config, digests)
        card = Card(family, entries, scheduler)
        card.write(partial)
    return card


def describe(module: nnx.Module, config: Any, digests: Mapping[str, str]) -> Part:
    """The card's entry of a module (abstract or not) with these digests."""
    arrays, fields = names(module), described(config)
    return Part(
        model=type(module).__name__,
        config=fields,
        dtype=config.dtype,
        parameters=sum(math.prod(x.shape) for x in arrays.values()),
        fingerprint=_fingerprint(
            fields, {_described(name, x): digests[name] for name, x in arrays.items()}
        ),
    )


def digested(module: Any) -> str:
    """The fingerprint that `save` would write for a module with a `config`."""
    digests = {name: digest(_streamed(x)) for name, x in names(module).items()}
    return describe(module, module.config, digests).fingerprint


def _described(name: str, array: Any) -> str:
    return f"{name} {list(array.shape)} {array.dtype}"


def _fingerprint(config: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    """One digest of a part: of its config and its arrays' descriptions and digests."""
    # As JSON, a config is the same before it is written and after it was read.
    settings = json.dumps(config, sort_keys=True)
    return fingerprint([("config", settings), *digests.items()])


def _streamed(array: jax.Array) -> StreamedArray:
    if not array.is_fully_addressable:
        raise ValueError("an array is spread over several processes: gather it first")

    read = lambda box: np.asarray(array[box])
    return StreamedArray(array.shape, np.dtype(jnp.dtype(array.dtype)), read)
