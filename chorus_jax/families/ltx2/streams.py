"""A value of each of LTX-2's two streams."""

from typing import Any, NamedTuple


class Streams(NamedTuple):
    """A value for the video's tokens and one for the audio's.

    If the values are arrays, their shapes may differ except for the number of rows.

    Attributes:
        video: the video's value.
        audio: the audio's value.
    """

    video: Any
    audio: Any
