"""Reads state dicts in torch's zip format (.pth) without running code from the file.

The pickle inside may name only the few constructors below, which make plain records;
any other name is refused before anything is called. The result is a list of tensors
with the positions of their bytes in the zip. Format: pytorch, torch/serialization.py,
`_save`. The refusal of names follows Python's documentation (pickle, "Restricting
Globals").
"""

import io
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convert.pickle_bounds import check_bounds
from convert.tensors import DTYPES, Tensor, truncated

STORAGES: Mapping[str, str] = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}


# In bytes. The name, shape and position of a tensor take a few hundred.
LARGEST_PICKLE = 2**26
ENCRYPTED = 1  # flag of a zip file's member


class _Sealed:
    """An object that a pickle cannot change after it is made.

    The BUILD instruction of a pickle calls `__setstate__`, even on checked objects.
    """

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes an object that was checked")


class _Constructor(_Sealed):
    """A function that a pickle may call, but not change."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[..., Any]):
        self.make = make

    def __call__(self, *arguments: Any) -> Any:
        return self.make(*arguments)


class _Storage(_Sealed):
    """A block of numbers in the archive; `key` is its file name there."""

    __slots__ = ("dtype", "key")

    def __init__(self, dtype: np.dtype, key: str):
        self.dtype, self.key = dtype, key


class _View(_Sealed):
    """A tensor as a view of a storage; offset and strides are in elements."""

    __slots__ = ("offset", "shape", "storage", "strides")

    def __init__(
        self,
        storage: _Storage,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
    ):
        self.storage, self.offset = storage, offset
        self.shape, self.strides = shape, strides


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _View:
    if type(shape) is not tuple or type(strides) is not tuple:
        raise pickle.UnpicklingError("it describes a tensor without a shape")
    numbers = (offset, *shape, *strides)
    good = isinstance(storage, _Storage) and len(shape) == len(strides)
    if not good or any(type(n) is not int or n < 0 for n in numbers):
        raise pickle.UnpicklingError("it describes a tensor that cannot be")
    return _View(storage, offset, shape, strides)


def _parameter(data: Any, *_: Any) -> Any:
    return data


ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that refuses every name that is not allowed."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ALLOWED:
            return _Constructor(ALLOWED[module, name])
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not a tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, *_ = pid
        if kind != "storage" or dtype not in STORAGES.values():
            raise pickle.UnpicklingError(f"it refers to an unknown object {kind!r}")
        return _Storage(DTYPES[dtype], str(key))


# Names of nested state dicts; the first that a file has is read. Few-step Wans are
# published with both averaged weights (EMA) and the last weights of training.
STATES = ("generator_ema", "generator", "state_dict", "model", "module")


def read_pickle(file: Path, state: str | None = None) -> list[Tensor]:
    """The tensors of a state dict saved by `torch.save`; runs no code from the file.

    Args:
        file: a file in torch's zip format.
        state: the name of a state dict, for a file with several; by default the first
            of `STATES` that it has.

    Raises:
        ValueError: if the file is truncated, not in that format, or contains anything
            but named tensors.
    """
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{file} is truncated or not in torch's zip format: found "
            f"{file.stat().st_size} bytes without the directory that must end them; "
            "download it again (or load and save a file from before torch 1.6 anew)"
        ) from error
    with archive:
        _check_members(file, archive)
        state_dict = _chosen(file, _unpickled(file, archive), state)
        _check_order(file, archive)
        members = {info.filename: info for info in archive.infolist()}
        prefix = _pickle_name(file, archive)[: -len("data.pkl")]
        return [
            _placed(file, name, view, members.get(f"{prefix}data/{view.storage.key}"))
            for name, view in _flat(file, state_dict).items()
        ]


def check_checksums(file: Path) -> None:
    """Raises a ValueError if a checksum inside a file of `torch.save` is wrong."""
    with zipfile.ZipFile(file) as archive:
        _check_members(file, archive)
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(
            f"{file} is damaged: the checksum of {damaged} is wrong; download it again"
        )


def _check_members(file: Path, archive: zipfile.ZipFile) -> None:
    """Raises a ValueError unless a zip file's members have the form of `torch.save`.

    Compressed members, or members that share their bytes, could unpack to any size.
    """
    members = archive.infolist()
    names = {info.filename for info in members}
    pickles = [info for info in members if info.filename.endswith(".pkl")]
    stored = [
        info.compress_type == zipfile.ZIP_STORED
        and info.compress_size == info.file_size
        for info in members
        if info not in pickles
    ]
    sizes = sum(info.compress_size for info in members)
    unpacked = sum(info.file_size for info in pickles)
    plain = all(stored) and not any(info.flag_bits & ENCRYPTED for info in members)
    if len(names) < len(members) or not plain or sizes > file.stat().st_size:
        raise ValueError(
            f"{file} is not a file of torch.save: its members must be stored once, "
            "uncompressed and unencrypted"
        )
    if unpacked > LARGEST_PICKLE:
        raise ValueError(
            f"{file} is refused: its pickle unpacks to {unpacked} bytes, that of a "
            f"state dict has {LARGEST_PICKLE} at most"
        )


def _check_order(file: Path, archive: zipfile.ZipFile) -> None:
    """Raises a ValueError if the numbers are big-endian."""
    name = _pickle_name(file, archive)[: -len("data.pkl")] + "byteorder"
    if name in archive.namelist() and archive.read(name) != b"little":
        raise ValueError(
            f"{file} was saved on a machine with another order of bytes: load and save "
            "it on a little-endian one"
        )


def _pickle_name(file: Path, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if name.endswith("data.pkl")]
    if len(names) != 1:
        raise ValueError(f"{file} is not a file of torch.save: it has no data.pkl")
    return names[0]


def _unpickled(file: Path, archive: zipfile.ZipFile) -> Any:
    name = _pickle_name(file, archive)
    try:
        data = archive.read(name)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError, EOFError) as error:
        raise ValueError(f"{file} is damaged: {error}; download it again") from error
    try:
        check_bounds(data)
        return _Unpickler(io.BytesIO(data)).load()
    except Exception as error:  # A hostile pickle may fail in any way.
        raise ValueError(
            f"{file} is refused: its pickle may hold tensors only, but {error}; "
            "nothing in it was run. Get the file from its publisher, or convert "
            "the safetensors"
        ) from error


def _chosen(file: Path, content: Any, name: str | None) -> Any:
    """The state dict of this name in the unpickled content, or the whole content."""
    nested = isinstance(content, dict) and [
        key for key, value in content.items() if isinstance(value, dict) and value
    ]
    if name is None:
        name = next((key for key in STATES if nested and key in nested), None)
        return content if name is None else content[name]
    if not nested or name not in nested:
        raise ValueError(
            f"{file} has no state dict {name!r}: it has "
            f"{', '.join(map(str, nested or [])) or 'one without a name'}"
        )
    return content[name]


def _flat(file: Path, state: Any) -> dict[str, _View]:
    if not isinstance(state, dict):
        raise ValueError(f"{file} holds a {type(state).__name__}, not a state dict")
    strange = [
        name
        for name, view in state.items()
        if not isinstance(name, str) or not isinstance(view, _View)
    ]
    if strange:
        raise ValueError(
            f"{file} holds more than named tensors: {strange[:5]}; save the state "
            "dict only"
        )
    return dict(state)


def _placed(file: Path, name: str, view: _View, info: Any) -> Tensor:
    if info is None or info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{file}: the bytes of {name} are missing or compressed")
    with open(file, "rb") as stream:
        stream.seek(info.header_offset + 26)
        lengths = np.frombuffer(stream.read(4), "<u2")
    start = info.header_offset + 30 + int(lengths.sum())
    offset = start + view.offset * view.storage.dtype.itemsize
    contiguous: list[int] = []
    step = 1
    for size in reversed(view.shape):
        contiguous.insert(0, step)
        step *= size
    plain = all(
        s == c for s, c, n in zip(view.strides, contiguous, view.shape) if n > 1
    )
    strides = None if plain else view.strides
    tensor = Tensor(name, view.shape, view.storage.dtype, file, offset, strides)
    last = sum((n - 1) * s for n, s in zip(view.shape, view.strides))
    if offset + (last + 1) * tensor.dtype.itemsize > start + info.file_size:
        raise truncated(file, offset + tensor.nbytes, start + info.file_size)
    if tensor.nbytes > info.file_size:
        raise ValueError(
            f"{file}: {name} repeats its values, {info.file_size} bytes as "
            f"{tensor.nbytes}: save a copy of it"
        )
    return tensor
