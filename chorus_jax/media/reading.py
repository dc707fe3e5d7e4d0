"""Reads the frames of video files of any format."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:  # PyAV is imported where a file is read.
    import av

FULL = 2  # ffmpeg's number of a range of 0 to 255
SD = (5, 6)  # ISO/IEC 23091-2's numbers of BT.601


def read_frames(path: str | Path, most: int) -> UInt8[np.ndarray, "f h w 3"]:
    """Reads up to `most` frames from the start of a video file.

    A file without a colour space in its metadata is read as BT.709, the most common.

    Raises:
        ValueError: for a file that is no video, or holds no frame.
    """
    import av

    try:
        with av.open(str(path)) as container:
            decoded = islice(container.decode(video=0), most)
            frames = [upright(_rgb(frame), frame.rotation) for frame in decoded]
    except (OSError, IndexError, av.FFmpegError) as error:
        why = getattr(error, "strerror", None) or "it has no video"
        raise ValueError(f"{path} is not a video that can be read: {why}") from error
    if not frames:
        raise ValueError(f"{path} holds no frame")
    return np.stack(frames)


def upright(
    pixels: UInt8[np.ndarray, "h w 3"], rotation: int
) -> UInt8[np.ndarray, "y x 3"]:
    """Pixels turned by the rotation that a file asks for, in degrees counterclockwise:
    a phone's portrait videos are stored on their side."""
    return np.rot90(pixels, round(rotation / 90) % 4)


def _rgb(frame: "av.VideoFrame") -> UInt8[np.ndarray, "h w 3"]:
    from av.video.reformatter import ColorRange, Colorspace

    if frame.format.is_rgb or frame.format.has_palette:
        return frame.to_ndarray(format="rgb24")
    spaces, ranges = Colorspace, ColorRange
    # All are given: older PyAV ignores the file's colour range (see `media.video`).
    return frame.reformat(
        format="rgb24",
        src_colorspace=spaces.ITU601 if frame.colorspace in SD else spaces.ITU709,
        src_color_range=ranges.JPEG if frame.color_range == FULL else ranges.MPEG,
        dst_color_range=ranges.JPEG,
    ).to_ndarray()
