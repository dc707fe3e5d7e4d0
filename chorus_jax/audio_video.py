"""Settings of guidance for models that make video and audio together."""

from dataclasses import dataclass, fields
from numbers import Real
from typing import no_type_check


# Not type-checked in tests, because it refuses wrong types itself.
@no_type_check
@dataclass(frozen=True)
class AudioVideoGuidance:
    """Guidance settings that only models of audio and video have.

    Attributes:
        audio_scale: the classifier-free guidance scale of the audio, up to 1 for none;
            None for the request's `guidance_scale`. Used only if `guidance_scale` is
            above 1.
        audio_perturbed: the scale of spatio-temporal guidance of the audio; None for
            the video's. Used only if the request has such guidance.
        joint: the guidance scale of the video against a pass without attention between
            video and audio, which is one more pass per step; 1 for none.
        audio_joint: the same for the audio; None for `joint`.
        rescale: how far the standard deviation of the guided video is rescaled to that
            of the prompt's pass alone: 0 for not at all, 1 for fully.
        audio_rescale: the same for the audio; None for `rescale`.

    Raises:
        ValueError: for a scale that is not a number from 0 to 1e6, or a rescale that is
            not a number from 0 to 1.
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
        """Whether there is a pass without attention between video and audio."""
        return any(x not in (None, 1.0) for x in (self.joint, self.audio_joint))

    @property
    def numbers(self) -> tuple[float, ...]:
        """The values of all fields, with -1 for None."""
        values = (getattr(self, field.name) for field in fields(self))
        return tuple(-1.0 if value is None else float(value) for value in values)
