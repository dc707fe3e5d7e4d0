"""Resuming a killed conversion: the parts that it completed are kept."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from chorus_jax.checkpoints import digest, open_arrays
from chorus_jax.checkpoints.folder import FINISHED


class FinishedParts:
    """Records of the complete parts in a folder that is being written.

    A record is a file beside its part, written after it; a part without a record is
    incomplete. It contains the identity of the part's sources and the digests of its
    arrays, which are computed again before the part is kept.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def names(self) -> list[str]:
        """The parts that have a record."""
        paths = self.folder.glob(f"*{FINISHED}")
        return sorted(path.name.removesuffix(FINISHED) for path in paths)

    def keep_only(self, parts: Mapping[str, object]) -> None:
        """Removes everything but these parts, if complete, and their records."""
        known = set(self.names()) & set(parts)
        names = known | {f"{name}{FINISHED}" for name in known}
        for path in self.folder.iterdir():
            if path.name not in names:
                remove(path)

    def digests(self, part: str, identity: str) -> dict[str, str] | None:
        """The digests of a part's arrays, if the part can be kept.

        A part can be kept if it is complete, has the same identity, and its arrays are
        unchanged on disk. Otherwise the part and its record are removed, and the result
        is None.
        """
        record = self._record(part)
        path = self.folder / part
        if record.get("identity") == identity:
            try:
                arrays = open_arrays(path)
                there = {name: digest(array) for name, array in arrays.items()}
            except (ValueError, OSError):
                there = {}
            if there and there == record.get("arrays"):
                return there
        remove(path)
        remove(self._path(part))
        return None

    def add(self, part: str, identity: str, digests: Mapping[str, str]) -> None:
        """Records that a part is complete."""
        path = self._path(part)
        aside = path.with_suffix(".partial")
        aside.write_text(json.dumps({"identity": identity, "arrays": dict(digests)}))
        os.replace(aside, path)

    def clear(self) -> None:
        """Removes all records, once the folder is complete."""
        for name in self.names():
            self._path(name).unlink()

    def _path(self, part: str) -> Path:
        return self.folder / f"{part}{FINISHED}"

    def _record(self, part: str) -> dict:
        try:
            return dict(json.loads(self._path(part).read_text()))
        except (OSError, ValueError, TypeError):
            return {}


def remove(path: Path) -> None:
    """Removes a file or a folder with its content, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
