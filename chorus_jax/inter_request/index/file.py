"""An index on disk: a line that names the format, a checksum, ids, vectors.

Nothing in it is run when it is read.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from chorus_jax.inter_request.index.table import Table, table_of

FORMAT = b"chorus index 1\n"


def write(table: Table, path: Path) -> None:
    """Writes a table to a file that appears under its name when it is whole."""
    ids = json.dumps([table.width, table.ids]).encode() + b"\n"
    vectors = table.vectors.astype("<f4").tobytes()
    check = hashlib.sha256(ids + vectors).hexdigest().encode() + b"\n"
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.writelines((FORMAT, check, ids, vectors))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path) -> Table:
    """The table in a file. ValueError if it is damaged or something else."""
    content = path.read_bytes()
    if not content.startswith(FORMAT):
        raise ValueError(f"{path} is no index of this version: build it anew")
    check, _, rest = content[len(FORMAT) :].partition(b"\n")
    if hashlib.sha256(rest).hexdigest().encode() != check:
        raise ValueError(f"{path} is damaged or cut short: build the index anew")
    head, _, vectors = rest.partition(b"\n")
    width, ids = json.loads(head)
    array = np.frombuffer(vectors, "<f4").reshape(len(ids), width)
    return table_of(ids, array.astype(np.float32)) if ids else Table(width)
