"""Trial run of a converted folder: one step of a small video."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families import registry
from chorus_jax.media.inputs import InputMedia
from chorus_jax.request import Request
from convert import shortened
from convert.finished import remove

SHORT = ".short"  # within the folder that is tried
SIDE = 64  # pixels; a multiple of what every family's sizes must be divisible by


def trial(folder: Path) -> str:
    """Runs a converted folder once, for the smallest video in one step.

    All weights are in memory during the run. If memory is too small for them, only the
    first layers of each network are run; if it is too small for these too, nothing is
    run. The first layers are written to a folder within this one, which is removed. A
    killed conversion leaves it in its hidden folder beside the target, which the next
    conversion to the target locks and clears.

    Returns:
        A sentence that describes what was run.

    Raises:
        ValueError: if the tokenizer cannot be opened, the parts do not fit together, or
            the result is not finite.
    """
    request = _request(folder)
    too_large = _beyond_memory(folder, request)
    if not too_large:
        return _made(folder, request)
    with _cleared(folder / SHORT) as short:
        try:
            shortened.shorten(folder, short)
        except ValueError as error:
            return f"nothing was run: {too_large}; {error}"
        if _beyond_memory(short, request):
            return f"nothing was run: {too_large}"
        layers = f"the first {shortened.LAYERS} layers of each network"
        return f"{_made(short, request)} by {layers}, for all {too_large}"


@contextmanager
def _cleared(folder: Path) -> Iterator[Path]:
    """A path at which nothing exists, neither before nor after the block."""
    remove(folder)
    try:
        yield folder
    finally:
        remove(folder)


def _beyond_memory(folder: Path, request: Request) -> str:
    """The reason why memory is too small for a request; "" if it is not."""
    try:
        registry.family_of(folder).checker(folder)(request)
    except ValueError as error:
        if "of memory" not in str(error):
            raise
        return str(error)
    return ""


def _made(folder: Path, request: Request) -> str:
    [video] = Pipeline.load(folder)(request)
    frames, height, width, _ = video.frames.shape
    made = "frame was" if frames == 1 else "frames were"
    return f"{frames} {made} made of {width}x{height} pixels in one step"


def _request(folder: Path) -> Request:
    """The smallest request, with gray input images if the model needs any."""
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
            registry.family_of(folder).checker(folder)(request)
        except ValueError as error:
            if reads_more in str(error):
                continue
        return request
    return between
