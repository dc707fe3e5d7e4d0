"""Keyframes: images or clips that a video must show at given frames."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import no_type_check

import numpy as np
from jaxtyping import UInt8


# Not type-checked in tests, because it refuses wrong types itself.
@no_type_check
@dataclass(frozen=True, eq=False)
class Keyframe:
    """An image or clip that a video must show from a given frame on.

    Two are equal if their pixels, places and strengths are.

    Attributes:
        frames: one or several frames, of any size.
        first: index of the video's frame at which they begin, 0 or more.
        strength: 1 keeps the frames unchanged; with less, denoising starts from them
            at the noise level 1 - strength.

    Raises:
        ValueError: for frames that are not [f, h, w, 3] in uint8, a `first` below 0, or
            a strength that is not above 0, up to 1.
    """

    frames: UInt8[np.ndarray, "f h w 3"]
    first: int = 0
    strength: float = 1.0

    def __post_init__(self) -> None:
        shape: tuple[int, ...] = tuple(getattr(self.frames, "shape", ()))
        dtype = getattr(self.frames, "dtype", None)
        if len(shape) != 4 or shape[-1] != 3 or 0 in shape or dtype != np.uint8:
            raise ValueError(
                "frames must be pixels as [frames, height, width, 3] in uint8, got "
                f"{list(shape)} in {dtype}: convert them to RGB"
            )
        object.__setattr__(self, "frames", own(self.frames))
        integral = isinstance(self.first, Integral) and not isinstance(self.first, bool)
        if not integral or self.first < 0:
            raise ValueError(
                f"first must be a whole number from 0 on, got {self.first!r}"
            )
        object.__setattr__(self, "first", int(self.first))
        valid = isinstance(self.strength, Real) and 0 < float(self.strength) <= 1
        if isinstance(self.strength, bool) or not valid:
            raise ValueError(
                f"strength must be above 0, up to 1, got {self.strength!r}"
            )

    @property
    def layout(self) -> tuple[int, int, float]:
        """The index of the first frame, the number of frames, and the strength."""
        return self.first, len(self.frames), float(self.strength)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the pixels, their sizes, place and strength."""
        sha = hashlib.sha256(repr((self.frames.shape, self.layout)).encode())
        sha.update(np.ascontiguousarray(self.frames).tobytes())
        return sha.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyframe) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def own(pixels: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """A read-only copy of pixels, so that their digest stays valid."""
    copy = np.array(pixels)
    copy.flags.writeable = False
    return copy


def check_keyframes(keyframes: object) -> None:
    """Raises a ValueError unless these are keyframes."""
    if not isinstance(keyframes, Sequence) or not all(
        isinstance(x, Keyframe) for x in keyframes
    ):
        raise ValueError(f"keyframes must be Keyframes, got {keyframes!r:.80}")
