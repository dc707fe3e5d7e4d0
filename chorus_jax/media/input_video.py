"""Video-to-video: a request adds noise to an input video and denoises it."""

import functools
import hashlib
import math
from dataclasses import dataclass
from numbers import Real
from typing import no_type_check

import numpy as np
from jaxtyping import UInt8

from chorus_jax.media.keyframes import own


# Not type-checked in tests, because it refuses wrong types itself.
@no_type_check
@dataclass(frozen=True, eq=False)
class InputVideo:
    """An input video, and the share of the schedule that is run on it.

    Two are equal if their pixels and strengths are.

    Attributes:
        frames: the frames, of any size; a shorter request reads only the first frames.
        strength: the share of the schedule's steps that is run, counted from its end: 1
            runs all of them, from nearly pure noise; less keeps more of the video.

    Raises:
        ValueError: for frames that are not [f, h, w, 3] in uint8, or a strength that is
            not above 0, up to 1.
    """

    frames: UInt8[np.ndarray, "f h w 3"]
    strength: float = 0.8

    def __post_init__(self) -> None:
        shape: tuple[int, ...] = tuple(getattr(self.frames, "shape", ()))
        dtype = getattr(self.frames, "dtype", None)
        if len(shape) != 4 or shape[-1] != 3 or 0 in shape or dtype != np.uint8:
            raise ValueError(
                "a video must be pixels as [frames, height, width, 3] in uint8, got "
                f"{list(shape)} in {dtype}: convert it to RGB"
            )
        valid = isinstance(self.strength, Real) and 0 < float(self.strength) <= 1
        if isinstance(self.strength, bool) or not valid:
            raise ValueError(
                f"strength must be above 0, up to 1, got {self.strength!r}"
            )
        object.__setattr__(self, "frames", own(self.frames))

    def steps(self, count: int) -> int:
        """The number of steps to run, of a schedule of `count` steps.

        Rounded as diffusers does. Raises a ValueError if the result is 0.
        """
        steps = int(count * self.strength)
        if steps:
            return steps
        digits = max(2, len(str(count)))
        enough = math.ceil(10**digits / count) / 10**digits  # rounded up
        raise ValueError(
            f"strength {self.strength:g} of {count} steps leaves none to run: give "
            f"{enough:g} or more, or more steps"
        )

    def check_length(self, frames: int) -> None:
        """Raises a ValueError if a request has more frames than this video."""
        if len(self.frames) < frames:
            raise ValueError(
                f"the video to begin from has {len(self.frames)} frames, but {frames} "
                "are asked for: ask for fewer (frames, --frames)"
            )

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the pixels, their sizes and the strength."""
        content = repr((self.frames.shape, float(self.strength)))
        sha = hashlib.sha256(content.encode())
        sha.update(np.ascontiguousarray(self.frames).tobytes())
        return sha.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InputVideo) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)
