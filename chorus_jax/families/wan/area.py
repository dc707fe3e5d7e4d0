"""Fits a video's size to the aspect ratio of the image or video that it is made from.

Source: Wan-Video/Wan2.1, wan/image2video.py; Wan2.2, wan/utils/utils.py
(best_output_size, of TI2V-5B).
"""

import math
from collections.abc import Collection
from dataclasses import replace

from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.request import Request


def fitted(sizes: Sizes, request: Request, given: Collection[str]) -> Request:
    """A request with the aspect ratio of its image or video, and at most as many pixels
    per frame as before.

    The new sizes are ones that the model can run. The number of frames is at most the
    input video's.

    Args:
        sizes: the configs of the model's parts.
        request: the request with its default size.
        given: the fields that its caller gave, which are kept.
    """
    inputs = request.inputs
    if inputs is None:
        return request
    video, image = inputs.video, inputs.image
    if video is not None:
        image = video.frames[0]
        group = sizes.vae.time_compression
        frames = min(request.frames, 1 + (len(video.frames) - 1) // group * group)
        request = request if "frames" in given else replace(request, frames=frames)
    if image is None or "height" in given or "width" in given:
        return request
    area, (h, w, _) = request.height * request.width, image.shape
    space, (_, ph, pw) = sizes.vae.space_compression, sizes.transformer.patch
    rule = nearest if sizes.expand_timesteps else below
    height, width = rule(area, h / w, space * ph, space * pw)
    return replace(request, height=height, width=width)


def below(area: int, aspect: float, rows: int, columns: int) -> tuple[int, int]:
    """Height and width of at most an area, each rounded down to a multiple.

    Args:
        area: the area in pixels.
        aspect: the height over the width.
        rows: what the height is a multiple of.
        columns: what the width is a multiple of.
    """
    height = int(math.sqrt(area * aspect) // rows) * rows
    width = int(math.sqrt(area / aspect) // columns) * columns
    return max(height, rows), max(width, columns)


def nearest(area: int, aspect: float, rows: int, columns: int) -> tuple[int, int]:
    """Height and width below an area, with an aspect as near as possible.

    One of them is rounded as in `below` and the other made as large as the area allows.
    Of the two results, the one nearer to the aspect is returned.
    """
    height, width = below(area, aspect, rows, columns)
    sizes = [
        (max(area // width // rows * rows, rows), width),
        (height, max(area // height // columns * columns, columns)),
    ]

    def off(size: tuple[int, int]) -> float:
        made = size[0] / size[1]
        return max(made / aspect, aspect / made)

    return sizes[0] if off(sizes[0]) < off(sizes[1]) else sizes[1]
