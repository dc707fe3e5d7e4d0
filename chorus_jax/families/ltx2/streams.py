"""A value of each of LTX-2's two streams."""

from typing import Any, NamedTuple


class Streams(NamedTuple):
    """What the video's tokens have, and what the audio's have.

    Where this stands for arrays their shapes may differ in all but the rows.
    """

    video: Any
    audio: Any
