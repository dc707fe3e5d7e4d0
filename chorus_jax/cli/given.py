"""Fields of a request that were given as options of a command."""

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chorus_jax.intra_request import StepCache, cache_file
from chorus_jax.media.input_video import InputVideo
from chorus_jax.media.inputs import InputMedia, pixels
from chorus_jax.media.keyframes import Keyframe
from chorus_jax.media.reading import read_frames
from chorus_jax.request import Request

MEASURED = ".json"  # suffix of a file with a measured step cache
INPUTS = ("image", "last_image", "video", "strength", "extend")
MOST = 241  # frames that are read from a video if their number is not given


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a request that were given as options.

    Prompt and seed are left out, and the frames per second, which some models do not
    read (see `choice.with_fps`). Reads the files of `--image`, `--last-image`,
    `--video` and `--extend`, if the command has these options.

    Raises:
        ValueError: for a last image without a first, a strength without a video, an
            image together with a video or a clip, a step cache together with a quality,
            and a file that is no picture, no video or no step cache.
        OSError: for a file that cannot be read.
    """
    fields = {field.name for field in dataclasses.fields(Request)}
    fields -= {"prompt", "seed", "fps"}
    values = vars(options)
    chosen = {k: v for k, v in values.items() if k in fields and v is not None}
    quality = values.get("quality")
    if "step_cache" in chosen or quality is not None:
        chosen["step_cache"] = step_cache(chosen.get("step_cache"), quality)
    inputs = inputs_of(values)
    return chosen if inputs is None else {**chosen, "inputs": inputs}


def inputs_of(values: Mapping[str, Any]) -> InputMedia | None:
    """A command's input images or video, read from files; None if there are none."""
    image, last_image, video, strength, extend = map(values.get, INPUTS)
    if video is None and strength is not None:
        raise ValueError("--strength goes with --video: give the video too")
    if extend is not None:
        return continued(extend, values)
    if video is not None:
        if image is not None or last_image is not None:
            raise ValueError("--image and --video do not go together: give one of them")
        frames = read_frames(video, values.get("frames") or MOST)
        given = {} if strength is None else {"strength": strength}
        return InputMedia(video=InputVideo(frames, **given))
    if image is not None:
        return InputMedia.read(image, last_image)
    if last_image is not None:
        raise ValueError("--last-image goes with --image: give the first one too")
    return None


def continued(clip: tuple[Path, int | None], values: Mapping[str, Any]) -> InputMedia:
    """The clip of `--extend` as a keyframe at the beginning, with a last image if the
    command has one. Raises a ValueError if it also has a first image or a video."""
    if values.get("image") is not None or values.get("video") is not None:
        raise ValueError(
            "--extend begins with a clip already: leave --image and --video out"
        )
    path, frames = clip
    last = values.get("last_image")
    return InputMedia(
        last_image=None if last is None else pixels(last),
        keyframes=(Keyframe(read_frames(path, frames or MOST)),),
    )


def step_cache(text: str | None, quality: str | None) -> str | StepCache | None:
    """The step cache of `--step-cache` or `--quality`; reads it if it is in a file."""
    if text is None or quality is not None:
        if text is not None:
            raise ValueError("--step-cache and --quality: leave one out")
        return quality
    if text.endswith(MEASURED):
        return cache_file.read(Path(text)).cache
    return text
