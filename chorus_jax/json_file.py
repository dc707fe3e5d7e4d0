"""Writes JSON, and reads it though damaged or hostile, with errors of one class."""

import json
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

LARGEST = 2**26  # bytes; the index of the largest published weights has 1 MB

Hook = Callable[[Sequence[tuple[str, Any]]], Any]


def parsed(text: str | bytes, hook: Hook | None = None) -> Any:
    """The value of a JSON text. Raises a ValueError if it is no JSON, or nested too
    deeply.

    `hook` makes the value of each object from its pairs; by default a dictionary.
    """
    try:
        return json.loads(text, object_pairs_hook=hook)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read(path: str | Path) -> Any:
    """The value in a JSON file.

    Raises:
        ValueError: for a file that is no JSON, and what `text_of` raises.
        OSError: for a file that cannot be read.
    """
    return parsed(text_of(path))


def write(path: str | Path, content: Any) -> None:
    """Writes a value to a JSON file, which replaces another one when it is complete.
    Raises an OSError if it cannot be written."""
    part = Path(path).with_name(f"{Path(path).name}.part")
    part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def text_of(path: str | Path) -> str:
    """The text of a small file, in UTF-8.

    Raises:
        ValueError: for a pipe or device, for a file longer than `LARGEST`, and for one
            that is not in UTF-8.
        OSError: for a file that cannot be read.
    """
    check_small(Path(path))
    return Path(path).read_text(encoding="utf-8")


def check_small(path: Path) -> None:
    """Raises a ValueError unless this is a regular file of at most `LARGEST` bytes.

    Reading a pipe would wait for its writer, perhaps without end.
    """
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise ValueError(f"{path} is a pipe or a device: expected a plain file")
    if status.st_size > LARGEST:
        raise ValueError(
            f"{path} has {status.st_size} bytes: expected at most {LARGEST}"
        )
