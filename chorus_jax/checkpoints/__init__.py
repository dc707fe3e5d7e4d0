"""Checkpoints: a folder that holds the parts of one model and a card that describes it.

    model.json       the card: family, config, dtype and fingerprint of every part
    transformer/     Orbax, one folder per part; readable by any Orbax restore
    tokenizer/       unchanged copies of the published files

A folder appears under its name only when it is complete. This package is independent of
the families of models.
"""

from chorus_jax.checkpoints.card import Card, Part, config_from, fingerprint
from chorus_jax.checkpoints.folder import FolderInUse, aside, check_space, resumed
from chorus_jax.checkpoints.models import (
    abstract,
    describe,
    digested,
    load,
    names,
    restore,
    save,
    write_arrays,
)
from chorus_jax.checkpoints.reading import check_same
from chorus_jax.checkpoints.stored import (
    StreamedArray,
    boxes,
    digest,
    open_arrays,
)

__all__ = [
    "Card",
    "FolderInUse",
    "Part",
    "StreamedArray",
    "abstract",
    "aside",
    "boxes",
    "check_same",
    "check_space",
    "config_from",
    "describe",
    "digest",
    "digested",
    "fingerprint",
    "load",
    "names",
    "open_arrays",
    "restore",
    "resumed",
    "save",
    "write_arrays",
]
