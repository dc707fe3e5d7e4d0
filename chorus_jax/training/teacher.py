"""A note, beside what was made from a teacher, of which teacher that was."""

import json
from collections.abc import Mapping
from pathlib import Path

NOTE = "teacher.json"


def note_teacher(folder: Path, teacher: Mapping[str, str]) -> None:
    """Writes the fingerprints of a teacher's parts into a folder, which is made if
    needed."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{NOTE}.partial"
    partial.write_text(json.dumps(dict(teacher)))
    partial.replace(folder / NOTE)


def check_teacher(folder: Path, teacher: Mapping[str, str]) -> None:
    """Raises a ValueError if a folder has a note of another teacher than this one."""
    path = folder / NOTE
    if path.exists() and json.loads(path.read_text()) != dict(teacher):
        raise ValueError(
            f"{folder} was made from another teacher than the newest state of flow/ "
            "(it was trained further since, perhaps): remove taught/ and distill/ "
            "beside it, then run the stages teach and distill again"
        )
