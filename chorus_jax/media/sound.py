"""The sound of a video: samples in memory, and how they are written and read."""

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from chorus_jax.media.writing import aside

if TYPE_CHECKING:  # PyAV is imported where a file is written or read.
    import av

LAYOUTS = {1: "mono", 2: "stereo"}


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples of a sound.

    Attributes:
        samples: the samples in [-1, 1], of one or two channels.
        rate: samples per second.

    Raises:
        ValueError: for another shape, a rate below 1, or numbers that are not finite.
    """

    samples: Float32[np.ndarray, "s channels"]
    rate: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.shape[1] not in LAYOUTS:
            raise ValueError(
                "a sound is [samples, channels] with 1 or 2 channels, got shape "
                f"{self.samples.shape}"
            )
        if self.rate < 1:
            raise ValueError(f"a rate is 1 or more samples per second, got {self.rate}")
        if not np.isfinite(self.samples).all():
            raise ValueError("the sound holds NaN or infinity: the numbers went wrong")

    @property
    def seconds(self) -> float:
        """The length of the sound in seconds."""
        return len(self.samples) / self.rate

    @property
    def layout(self) -> str:
        """ffmpeg's name of the channel layout."""
        return LAYOUTS[self.samples.shape[1]]


def write_wav(path: str | Path, sound: Sound) -> None:
    """Writes a sound as 16-bit PCM; another file is replaced once it is complete.
    Raises an OSError if the file cannot be written."""
    values = np.rint(np.clip(sound.samples, -1, 1) * 32767).astype("<i2")
    with aside(path) as part, wave.open(str(part), "wb") as file:
        file.setnchannels(values.shape[1])
        file.setsampwidth(2)
        file.setframerate(sound.rate)
        file.writeframes(values.tobytes())


def mux_sound(
    container: "av.container.OutputContainer", stream: "av.AudioStream", sound: Sound
) -> None:
    """Encodes a sound into a stream of an open file."""
    import av

    planes = np.ascontiguousarray(np.clip(sound.samples, -1, 1).T.astype(np.float32))
    frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=sound.layout)
    frame.sample_rate, frame.pts = sound.rate, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def read_sound(path: str | Path) -> Sound | None:
    """The sound of a video file, as decoded; None if it has none."""
    import av

    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        rate = container.streams.audio[0].rate
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return Sound(np.concatenate(parts, axis=1).T.astype(np.float32), rate)
