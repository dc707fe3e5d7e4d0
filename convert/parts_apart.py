"""Files and options that are given in addition to a source of weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convert.weight_files import TORCH

TRANSFORMERS = ("transformer", "transformer_2")


@dataclass(frozen=True)
class PartsApart:
    """Files and options given in addition to a source, or to override its parts.

    Attributes:
        parts: files or folders of single parts, which replace the source's parts.
        tokenizer: the folder or file of a tokenizer.
        scheduler: a scheduler_config.json.
        variant: the variant of the files in a diffusers folder, such as `fp16`.
        state: the name of a state dict, for a transformer's torch file with several.
    """

    parts: Mapping[str, Path] = field(default_factory=dict)
    tokenizer: Path | None = None
    scheduler: Path | None = None
    variant: str | None = None
    state: str | None = None

    def state_of(self, part: str) -> str | None:
        """The name of the state dict to read in a part's file; None if it is not
        given, and for parts that are no transformer."""
        return self.state if part in TRANSFORMERS else None

    def check_choices(self, path: Path) -> None:
        """Raises a ValueError for a state dict or a variant that no file can have.

        Args:
            path: the source that these files and options are given in addition to.
        """
        paths = {"transformer": path, **self.parts}
        read = [paths[name] for name in TRANSFORMERS if name in paths]
        if self.state is not None and not any(map(_is_torch, read)):
            raise ValueError(
                f"--state {self.state} chooses among the state dicts of a "
                f"transformer's torch file ({', '.join(TORCH)}), but the transformer "
                f"is read from {' and '.join(map(str, read))}: leave --state out"
            )
        places = [path, *self.parts.values()]
        if self.variant is not None and all(place.is_file() for place in places):
            raise ValueError(
                f"--variant {self.variant} chooses among the files of a folder, but "
                f"only single files are read ({', '.join(map(str, places))}): leave "
                "--variant out"
            )


def _is_torch(path: Path) -> bool:
    return path.suffix.lower() in TORCH and not path.is_dir()
