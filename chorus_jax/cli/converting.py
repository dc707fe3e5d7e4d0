"""`chorus convert` and `chorus export`: run the commands of the package `convert`."""

import importlib
from collections.abc import Sequence
from pathlib import Path

from chorus_jax.cli import cleanups
from chorus_jax.cli.interruption import Interruption
from chorus_jax.cli.one_line import OneLineParser
from chorus_jax.ours import package

NEEDED = "safetensors"


def forward(name: str, arguments: Sequence[str], interruption: Interruption) -> None:
    """Runs a command of `convert`.

    Raises:
        ValueError: if safetensors is not installed, or for a source that is refused.
        OSError: for a file that cannot be read or written.
    """
    if importlib.util.find_spec(NEEDED) is None:
        raise ValueError(
            f"chorus {name} needs {NEEDED}: pip install 'chorus_jax[convert]'"
        )
    package("convert")
    commands = importlib.import_module("convert.__main__")

    def on_start(folder: Path) -> None:
        interruption.cleanups.append(cleanups.half_written_checkpoint(folder))

    commands.command(name, arguments, on_start, OneLineParser)
