"""Published models: converted at first use, into a folder that later loads find."""

import importlib
import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from chorus_jax.checkpoints import card
from chorus_jax.devices.compilation import cache_folder
from chorus_jax.ours import package

log = logging.getLogger(__name__)

NEEDED = "safetensors"
BESIDE = ("tokenizer", "scheduler")  # names in `parts` without weights


@dataclass(frozen=True)
class SourceFiles:
    """Files and choices for converting a model, beside the path of the model itself.

    Attributes:
        parts: files or folders by the name of the part, such as `vae`, `text_encoder`,
            `tokenizer` or `scheduler`; needed where the model is a single file that
            holds only the transformer.
        adapters: LoRA files, as `FILE`, `FILE:0.8`, or for one of two transformers
            `high=FILE` and `low=FILE:0.8`.
        skip_missing: whether LoRA weights for layers that the model lacks are left out.
        variant: the variant of the files in a folder of diffusers' layout, such as
            `fp16`.
        state: the name of the state dict to read in the transformer's `.pt` file, if it
            holds several.
        cache: the folder of converted models; None for `converted_folder()`.
    """

    parts: Mapping[str, str | Path] = field(default_factory=dict)
    adapters: Sequence[str | Path] = ()
    skip_missing: bool = False
    variant: str | None = None
    state: str | None = None
    cache: Path | None = None

    @property
    def given(self) -> bool:
        """Whether anything but `skip_missing` and `cache` is given."""
        choices = (self.parts, self.adapters, self.variant, self.state)
        return any(choices)


def converted_folder() -> Path:
    """The default folder of converted models, within the user's cache folder."""
    return cache_folder().parent / "converted"


def folder_of(
    model: Path,
    files: SourceFiles = SourceFiles(),
    dtype: str | None = None,
    say: Callable[[str], object] = log.warning,
) -> Path:
    """The converted folder of a model: the path itself, or the one it is converted to.

    Args:
        model: a converted folder, or a published model: a single file, a folder in
            diffusers' or the original layout, or a hub cache folder.
        files: further files and choices for the conversion.
        dtype: the dtype of all parts; None for the default of `chorus convert`.
        say: called with one line of text when a conversion begins.

    Raises:
        ValueError: if `model` is neither kind, if `files` are given for a folder that
            is already converted, and for what `chorus convert` refuses.
    """
    if (model / card.NAME).is_file():
        if files.given:
            raise ValueError(
                f"{model} is converted already: parts and LoRAs are read at "
                "conversion, so give the model as published"
            )
        return model
    if not model.exists() or model.is_dir() and not any(model.iterdir()):
        card.Card.read(model)  # raises an error that says what is wrong
    if importlib.util.find_spec(NEEDED) is None:
        raise ValueError(
            f"{model} is not converted, and to do so needs {NEEDED}: pip install "
            "'chorus_jax[convert]'"
        )
    package("convert")
    cached = importlib.import_module("convert.cached")
    parts_apart = importlib.import_module("convert.parts_apart")
    paths = {name: Path(path) for name, path in files.parts.items()}
    models = {name: path for name, path in paths.items() if name not in BESIDE}
    others = (paths.get(name) for name in BESIDE)
    given = parts_apart.PartsApart(models, *others, files.variant, files.state)
    options = cached.SourceOptions(
        given, tuple(map(str, files.adapters)), files.skip_missing
    )
    if dtype is not None:
        options = replace(options, dtype=dtype)
    return cached.converted(model, options, files.cache or converted_folder(), say)
