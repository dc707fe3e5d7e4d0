"""Packs a folder of many small files into a few files of a bounded size.

A remote machine may limit the number and size of the files that it returns. Unpack
with `cat model.tar.* | tar x`.
"""

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PIECE: Final = 15 * 2**20  # bytes


def pack(sources: Mapping[str, Path], target: Path, piece: int = PIECE) -> list[Path]:
    """Writes `target`.0, `target`.1 and so on: a tar of the sources that exist.

    Args:
      sources: files and folders by their names in the tar.
      target: path of the pieces without their number; older pieces are replaced.
      piece: the size of a piece in bytes; the last one may be smaller.

    Returns:
      The pieces in order.
    """
    partial = target.with_name(f"{target.name}.partial")
    with tarfile.open(partial, "w") as tar:
        for name, source in sources.items():
            if source.exists():
                tar.add(source, arcname=name)
    for old in target.parent.glob(f"{target.name}.[0-9]*"):
        old.unlink()
    pieces: list[Path] = []
    with partial.open("rb") as file:
        while data := file.read(piece):
            pieces.append(target.with_name(f"{target.name}.{len(pieces)}"))
            pieces[-1].write_bytes(data)
    partial.unlink()
    return pieces
