"""Whether a converted folder runs: one step of a small video."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families import registry
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.media.inputs import InputMedia
from chorus_jax.request import Request

SIDE = 64  # in pixels; what every family's sizes divide


def trial(folder: Path) -> str:
    """Makes one frame in one step from a converted folder; says what was made.

    All weights are in memory meanwhile: where there is too little for them, nothing is
    run, and that is said. Raises ValueError if the tokenizer cannot be opened, the
    parts do not fit together, or what is made is not finite.
    """
    request = _request(folder)
    try:
        registry.family_of(folder).check(folder, TRANSFORMER, request, None)
    except ValueError as error:
        if "of memory" not in str(error):
            raise
        return f"nothing was run: {error}"
    [video] = Pipeline.load(folder)(request)
    frames, height, width, _ = video.frames.shape
    made = "frame was" if frames == 1 else "frames were"
    return f"{frames} {made} made of {width}x{height} pixels in one step"


def _request(folder: Path) -> Request:
    """The smallest request, with the images that the model makes videos of."""
    words = Request(
        "a",
        frames=1,
        height=SIDE,
        width=SIDE,
        steps=1,
        solver="euler",
        guidance_scale=1.0,
        seed=0,
    )
    gray = np.full((SIDE, SIDE, 3), 128, np.uint8)
    framed = replace(words, inputs=InputMedia(gray))
    between = replace(words, inputs=InputMedia(gray, gray), frames=5)
    for request, reads_more in ((words, "of an image"), (framed, "between two images")):
        try:
            registry.family_of(folder).check(folder, TRANSFORMER, request, None)
        except ValueError as error:
            if reads_more in str(error):
                continue
        return request
    return between
