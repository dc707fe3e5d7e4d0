"""Writes safetensors files tensor by tensor: a header, then the bytes.

The writer of the safetensors library needs all tensors of a file in memory at once,
which would be up to 5 GB here.
Format: huggingface/safetensors, README.md.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.tensors import DTYPES

SHARD = 5 * 10**9  # the most bytes of a file
CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Outgoing:
    """A tensor to write.

    Attributes:
        name: the name in the file.
        shape: the shape of the whole tensor.
        dtype: the dtype of its values.
        blocks: yields its values in C order, in one or several blocks.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Callable[[], Iterable[np.ndarray]]

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_shards(folder: Path, stem: str, tensors: Sequence[Outgoing]) -> None:
    """Writes `stem.safetensors`, or shards of at most `SHARD` bytes and their index."""
    shards: list[list[Outgoing]] = [[]]
    for tensor in tensors:
        size = sum(x.nbytes for x in shards[-1])
        if shards[-1] and size + tensor.nbytes > SHARD:
            shards.append([])
        shards[-1].append(tensor)
    if len(shards) == 1:
        write_file(folder / f"{stem}.safetensors", tensors)
        return
    places: dict[str, str] = {}
    for i, shard in enumerate(shards, start=1):
        name = f"{stem}-{i:05}-of-{len(shards):05}.safetensors"
        write_file(folder / name, shard)
        places |= {tensor.name: name for tensor in shard}
    total = {"total_size": sum(tensor.nbytes for tensor in tensors)}
    index = {"metadata": total, "weight_map": places}
    file = folder / f"{stem}.safetensors.index.json"
    file.write_text(json.dumps(index, indent=2) + "\n")


def write_file(file: Path, tensors: Sequence[Outgoing]) -> None:
    """Writes one safetensors file."""
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + tensor.nbytes
        header[tensor.name] = {
            "dtype": CODES[tensor.dtype],
            "shape": tensor.shape,
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(file, "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            for block in tensor.blocks():
                stream.write(
                    np.ascontiguousarray(block).reshape(-1).view(np.uint8).data
                )
