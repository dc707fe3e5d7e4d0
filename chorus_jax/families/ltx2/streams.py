"""A value of each of LTX-2's two streams."""

from typing import Any, NamedTuple


class Streams(NamedTuple):
    """A value for the video's tokens and one for the audio's.

    Where these are arrays their shapes may differ in all but the rows.

    Attributes:
        video: that of the video.
        audio: that of the audio.
    """

    video: Any
    audio: Any
