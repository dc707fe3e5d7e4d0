"""Stores records of runs in a file, so that a stopped calibration can continue."""

import hashlib
import json
from collections.abc import Hashable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chorus_jax.calibration.record import TargetRecord
from chorus_jax.engine import Ledger


class Journal:
    """Records in a file, one line per record, by a key that determines the run."""

    def __init__(self, path: Path):
        self.path = path
        self.lines: dict[str, dict[str, Any]] = {}
        if path.exists():
            end_line(path)
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    stored = json.loads(line)
                except ValueError:
                    continue  # a process was killed while it wrote
                self.lines[stored["key"]] = stored

    def get(self, key: Hashable, number: int) -> TargetRecord | None:
        """The stored record of a key, for target `number`; None if there is none."""
        stored = self.lines.get(digest_of(key))
        if stored is None:
            return None
        ledger, beyond = Ledger(**stored["ledger"]), stored.get("beyond")
        return TargetRecord(number, ledger, stored["scores"], beyond)

    def add(self, key: Hashable, record: TargetRecord) -> None:
        """Adds a record and writes it to the file immediately."""
        name = digest_of(key)
        stored: dict[str, Any] = {"key": name, "ledger": asdict(record.ledger)}
        stored |= {"scores": record.scores, "beyond": record.beyond}
        self.lines[name] = stored
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(stored) + "\n")


def end_line(path: Path) -> None:
    """Ends a line that a killed process left unfinished, so that the next record begins
    a line of its own."""
    with path.open("rb+") as file:
        if file.seek(0, 2) == 0:
            return
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            file.write(b"\n")


def digest_of(key: Hashable) -> str:
    """A digest of a key's `repr`, the same in any process.

    Every part of the key must have a `repr` that depends on its value only.
    """
    return hashlib.sha256(repr(key).encode()).hexdigest()
