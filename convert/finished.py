"""Parts of a killed conversion that are complete, from which the next one goes on."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from chorus_jax.checkpoints import digest, open_arrays
from chorus_jax.checkpoints.folder import FINISHED


class FinishedParts:
    """Records of the complete parts in a folder that is being written.

    A record stands beside its part and is written after it: what has none is
    half-written. With it stand the identity of what the part was made of and the
    digests of its arrays, which are taken again before the part is kept.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def names(self) -> list[str]:
        """The parts that have a record."""
        paths = self.folder.glob(f"*{FINISHED}")
        return sorted(path.name.removesuffix(FINISHED) for path in paths)

    def keep_only(self, parts: Mapping[str, object]) -> None:
        """Removes all else: half-written parts and those of another model."""
        known = set(self.names()) & set(parts)
        kept = known | {f"{name}{FINISHED}" for name in known}
        for path in self.folder.iterdir():
            if path.name not in kept:
                remove(path)

    def digests(self, part: str, identity: str) -> dict[str, str] | None:
        """The digests of a part's arrays if it is complete, made of the same, and on
        disk as it was written; None, and nothing of it is left, if not."""
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
        """Removes the records: the folder is complete."""
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
    """Removes a file, or a folder with all in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
