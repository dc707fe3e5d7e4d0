"""Notes in a cache folder that say in words what each recipe's digest stands for.

Entries name their recipe by its digest only; a listing shows the note in its place.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chorus_jax import json_file
from chorus_jax.cli.choice import CommandSettings
from chorus_jax.engine import Engine
from chorus_jax.engine.recipes import recipe_of
from chorus_jax.media.writing import aside

SUFFIX = ".recipe.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Note:
    """A recipe in words.

    Attributes:
        model: the names of the weights and of the transformer.
        size: frames, width and height, such as "81x832x480".
        sampling: the solver and the number of steps.
    """

    model: str
    size: str
    sampling: str


def note(folder: Path, choice: CommandSettings, engine: Engine) -> None:
    """Writes the note of a command's recipe into a cache folder, unless it exists. If
    it cannot be written, the log says so: only listings need it."""
    request, model = choice.request, engine.pipeline.model
    recipe = recipe_of(request, model, engine.policies(request))
    path = folder / (engine.cache.store.secret.recipe(recipe.digest) + SUFFIX)
    if path.exists():
        return
    content = {
        "model": f"{choice.folder.name} {choice.transformer}",
        "size": f"{request.frames}x{request.width}x{request.height}",
        "sampling": f"{request.solver}, {request.step_count} steps",
    }
    try:
        with aside(path) as part:
            part.write_text(json.dumps(content) + "\n")
    except OSError as error:
        log.warning("`chorus cache` will not know what the entries are of: %s", error)


def drop_notes(folder: Path, needed: set[str]) -> None:
    """Removes the notes of recipes that no entry has."""
    for path in folder.glob(f"*{SUFFIX}"):
        if path.name.removesuffix(SUFFIX) not in needed:
            path.unlink(missing_ok=True)


def read_note(folder: Path, recipe: str) -> Note:
    """Reads the note of a recipe; if there is none, makes one of the digest's start."""
    try:
        content: dict[str, Any] = json_file.read(folder / (recipe + SUFFIX))
        return Note(**{name: str(value) for name, value in content.items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return Note(f"recipe {recipe[:12]}", "?", "?")
