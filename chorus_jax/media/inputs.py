"""The input images and videos of a request."""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageOps

from chorus_jax.media.input_video import InputVideo
from chorus_jax.media.keyframes import Keyframe, check_keyframes, own

Pixels = UInt8[np.ndarray, "h w 3"]


# Not type-checked in tests, because it refuses wrong types itself.
@no_type_check
@dataclass(frozen=True, eq=False)
class InputMedia:
    """The images that a video must show, or a video to start from.

    Two are equal if their digests are.

    Attributes:
        image: the first frame, of any size; None leaves it open.
        last_image: the last frame; None leaves it open.
        keyframes: pictures and clips at any place, for models that read them (LTX).
        video: a video from which denoising starts, with noise added; None for none.

    Raises:
        ValueError: for an image that is not [h, w, 3] in uint8, or if nothing is given.
    """

    image: Pixels | None = None
    last_image: Pixels | None = None
    keyframes: tuple[Keyframe, ...] = ()
    video: InputVideo | None = None

    def __post_init__(self) -> None:
        for name, pixels in (("image", self.image), ("last_image", self.last_image)):
            if pixels is None:
                continue
            shape: tuple[int, ...] = tuple(getattr(pixels, "shape", ()))
            dtype = getattr(pixels, "dtype", None)
            if len(shape) != 3 or shape[-1] != 3 or 0 in shape or dtype != np.uint8:
                raise ValueError(
                    f"{name} must be pixels as [height, width, 3] in uint8, got "
                    f"{list(shape)} in {dtype}: convert it to RGB"
                )
            object.__setattr__(self, name, own(pixels))

        check_keyframes(self.keyframes)
        object.__setattr__(self, "keyframes", tuple(self.keyframes))
        if not isinstance(self.video, InputVideo | None):
            raise ValueError(f"video must be an InputVideo, got {self.video!r:.80}")
        given = (self.image, self.last_image, self.video)
        if all(one is None for one in given) and not self.keyframes:
            raise ValueError("inputs have no image: leave them out, or give one")

    @property
    def layout(self) -> tuple[object, ...]:
        """The places and strengths of the given frames, and the video's strength."""
        pictures = (self.image is not None, self.last_image is not None)
        strength = () if self.video is None else (float(self.video.strength),)
        keyframes = (keyframe.layout for keyframe in self.keyframes)
        return (*pictures, *keyframes, *strength)

    @classmethod
    def read(
        cls, image: str | Path, last_image: str | Path | None = None
    ) -> "InputMedia":
        """Reads a first and a last image from files. Raises a ValueError for a file
        that is no image."""
        return cls(pixels(image), None if last_image is None else pixels(last_image))

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the pixels and their sizes."""
        sha = hashlib.sha256()
        for array in (self.image, self.last_image):
            shape = () if array is None else array.shape
            sha.update(repr(shape).encode())
            sha.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        for keyframe in self.keyframes:
            sha.update(keyframe.digest.encode())
        if self.video is not None:
            sha.update(b"video " + self.video.digest.encode())
        return sha.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InputMedia) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def pixels(file: str | Path) -> Pixels:
    """The pixels of an image file, upright. Raises a ValueError if it is no image."""
    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):  # 16 bits, which Pillow would clip
                bits = np.asarray(upright, np.float64) / 257
                upright = Image.fromarray(np.rint(bits).clip(0, 255).astype(np.uint8))
            return np.array(upright.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(f"{file} is not an image that can be read: {why}") from error


def resized(
    image: Pixels, height: int, width: int, filter: Image.Resampling
) -> Float32[np.ndarray, "y x 3"]:
    """The whole image at this size, not cropped, in [0, 1]."""
    made = Image.fromarray(image).resize((width, height), filter)
    return np.asarray(made, np.float32) / 255


def covering(
    image: Pixels, height: int, width: int, filter: Image.Resampling
) -> UInt8[np.ndarray, "y x 3"]:
    """The image resized to cover the given size, then cropped around its middle."""
    h, w, _ = image.shape
    scale = max(height / h, width / w)
    size = (max(round(w * scale), width), max(round(h * scale), height))
    made = np.asarray(Image.fromarray(image).resize(size, filter))
    top, left = ((made.shape[0] - height) // 2, (made.shape[1] - width) // 2)
    return made[top : top + height, left : left + width]
