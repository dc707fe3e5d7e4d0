"""Reads files of weights in any supported format: safetensors, torch and GGUF."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from convert.gguf import read_gguf
from convert.pickled import read_pickle
from convert.scaled import unscaled
from convert.tensors import SourceTensor, by_name, read_safetensors

TORCH = (".pt", ".pth", ".bin", ".ckpt")
READERS: Mapping[str, Callable[[Path], Sequence[SourceTensor]]] = {
    ".safetensors": read_safetensors,
    ".sft": read_safetensors,
    ".gguf": read_gguf,
}
POINTER = b"version https://git-lfs"


def read_weights(
    files: Sequence[Path], state: str | None = None
) -> dict[str, SourceTensor]:
    """The tensors of one model by name; reads headers only.

    Tensors in float8 are read as float32, with their scales applied.

    Args:
        files: a single file, or the shards of one model.
        state: the name of a state dict, for a torch file with several.

    Raises:
        ValueError: for a git-lfs pointer in place of a file, an unsupported format, or
            a damaged file.
    """
    tensors: list[SourceTensor] = []
    for file in files:
        check_present(file)
        tensors += _read(file, state)
    return unscaled(by_name(tensors))


def check_present(path: Path) -> None:
    """Raises a ValueError if a file or folder is missing or not completely downloaded.

    In a hub cache the links of an unfinished download point to missing files. A
    repository cloned without git-lfs has pointers of three lines in place of its large
    files.
    """
    if path.is_symlink() and not path.exists():
        raise ValueError(
            f"{path} is a link to a file that is not there: the download did not end; "
            "run it again"
        )
    if not path.exists():
        raise ValueError(f"{path} is missing: the source is incomplete; download it")
    if not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path} is a pipe or a device: expected a file or a folder")
    if path.is_file() and path.stat().st_size < 1024:
        with open(path, "rb") as stream:
            start = stream.read(len(POINTER))
        if start == POINTER:
            raise ValueError(
                f"{path} is a git-lfs pointer, not the file itself: run `git lfs pull` "
                "in the repository, or download the file"
            )


def _read(file: Path, state: str | None) -> Sequence[SourceTensor]:
    kind = file.suffix.lower()
    if kind in TORCH:
        return read_pickle(file, state)
    if kind not in READERS:
        raise ValueError(
            f"{file} is no file of weights: its name must end in one of "
            f"{', '.join((*READERS, *TORCH))}"
        )
    return READERS[kind](file)
