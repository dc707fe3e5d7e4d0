"""The fields of a request among the options of a command."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from chorus_jax.intra_request import StepCache, cache_file
from chorus_jax.media.inputs import InputMedia
from chorus_jax.request import Request

MEASURED = ".json"  # a step cache in a file


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a request that were given, without prompt, seed and frames per
    second, which some models do not read (`choice.with_fps`).

    Reads the images of `--image` and `--last-image`, if the command has them.

    Raises:
        ValueError: for a last image without a first, a step cache beside a quality, or
            a file that is no step cache.
        OSError: for a file that cannot be read.
    """
    fields = {field.name for field in dataclasses.fields(Request)}
    fields -= {"prompt", "seed", "fps"}
    values = vars(options)
    chosen = {k: v for k, v in values.items() if k in fields and v is not None}
    if "step_cache" in chosen or values.get("quality") is not None:
        chosen["step_cache"] = step_cache(values.get("step_cache"), values["quality"])
    image, last_image = values.get("image"), values.get("last_image")
    if image is not None:
        chosen["inputs"] = InputMedia.read(image, last_image)
    elif last_image is not None:
        raise ValueError("--last-image goes with --image: give the first one too")
    return chosen


def step_cache(text: str | None, quality: str | None) -> str | StepCache | None:
    """The step cache of `--step-cache` or `--quality`; a file's is read."""
    if text is None or quality is not None:
        if text is not None:
            raise ValueError("--step-cache and --quality: leave one out")
        return quality
    if text.endswith(MEASURED):
        return cache_file.read(Path(text)).cache
    return text
