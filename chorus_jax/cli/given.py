"""The fields of a request among the options of a command."""

import argparse
import dataclasses
from typing import Any

from chorus_jax.media.inputs import InputMedia
from chorus_jax.request import Request


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a request that were given, without prompt, seed and frames per
    second, which some models do not read (`choice.with_fps`).

    Reads the images of `--image` and `--last-image`, if the command has them.

    Raises:
        ValueError: for a last image without a first.
        OSError: for an image that cannot be read.
    """
    fields = {field.name for field in dataclasses.fields(Request)}
    fields -= {"prompt", "seed", "fps"}
    values = vars(options)
    chosen = {k: v for k, v in values.items() if k in fields and v is not None}
    image, last_image = values.get("image"), values.get("last_image")
    if image is not None:
        chosen["inputs"] = InputMedia.read(image, last_image)
    elif last_image is not None:
        raise ValueError("--last-image goes with --image: give the first one too")
    return chosen
