"""Guidance of video and audio that are made together, as a request asks for it."""

from dataclasses import dataclass, fields
from numbers import Real
from typing import no_type_check


# Not type-checked in tests, because it refuses wrong types itself.
@no_type_check
@dataclass(frozen=True)
class AudioVideoGuidance:
    """Scales of guidance beyond those of a video alone.

    Attributes:
        audio_scale: the weight of the prompt against the negative prompt for the audio;
            None for the request's `guidance_scale`. Read only if that is above 1.
        audio_perturbed: the scale of spatio-temporal guidance for the audio; None for
            the video's. Read only if there is such guidance.
        joint: the weight of the video against one made without hearing the audio, which
            takes one more pass in each step; 1 for none.
        audio_joint: that of the audio against one made without seeing the video; None
            for `joint`.
        rescale: how much of the deviation of the guided video is brought back to that
            of the prompt's own, 0 to 1.
        audio_rescale: the same for the audio; None for `rescale`.

    Raises:
        ValueError: for other values.
    """

    audio_scale: float | None = None
    audio_perturbed: float | None = None
    joint: float = 1.0
    audio_joint: float | None = None
    rescale: float = 0.0
    audio_rescale: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            most = 1.0 if "rescale" in field.name else 1e6
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or not 0 <= float(value) <= most:
                raise ValueError(
                    f"{field.name} is a number from 0 to {most:g}, got {value!r}"
                )

    @property
    def isolates(self) -> bool:
        """Whether there is a pass without the streams' attention to each other."""
        return any(x not in (None, 1.0) for x in (self.joint, self.audio_joint))

    @property
    def numbers(self) -> tuple[float, ...]:
        """All fields, -1 for None."""
        values = (getattr(self, field.name) for field in fields(self))
        return tuple(-1.0 if value is None else float(value) for value in values)
