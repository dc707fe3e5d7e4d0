"""Sizes of a Wan VAE and what follows from them: compression, valid video sizes."""

from dataclasses import dataclass
from math import isfinite

from chorus_jax.families.fitting import must_fit

# Of the published vae/config.json of Wan 2.1 (and of wan/modules/vae.py).
WAN21_MEAN = (
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
WAN21_STD = (
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)


@dataclass(frozen=True)
class WanVAEConfig:
    """Sizes of a Wan VAE; `wan21` is the published one.

    Attributes:
        width: channels of the first stage.
        multipliers: the channels of each stage divided by `width`.
        depth: residual blocks per stage of the encoder; the decoder has one more.
        halve_time: whether each stage but the last halves the number of frames too;
            height and width are always halved.
        latents_mean: the mean of raw latents per channel; normalised latents are `(x -
            mean) / std`.
        latents_std: the standard deviation of raw latents per channel.
        dtype: the dtype of weights and computation.
    """

    width: int
    multipliers: tuple[int, ...]
    depth: int
    halve_time: tuple[bool, ...]
    latents_mean: tuple[float, ...]
    latents_std: tuple[float, ...]
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if len(self.halve_time) != len(self.multipliers) - 1:
            raise ValueError(
                f"{self.halve_time=} must have one entry between each two stages of "
                f"{self.multipliers=}"
            )
        if len(self.latents_mean) != len(self.latents_std):
            raise ValueError(
                f"latents_mean has {len(self.latents_mean)} channels and latents_std "
                f"{len(self.latents_std)}; both must have one number per latent channel"
            )
        for name in ("latents_mean", "latents_std"):
            numbers = getattr(self, name)
            if not all(isinstance(x, (int, float)) and isfinite(x) for x in numbers):
                raise ValueError(f"{name} must be finite numbers, got {numbers}")
        if min(self.latents_std, default=1) <= 0:
            raise ValueError(f"{self.latents_std=} must be positive")

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return len(self.latents_mean)

    @property
    def time_compression(self) -> int:
        """Video frames per latent frame; the first latent frame stands for one
        frame."""
        return 2 ** sum(self.halve_time)

    @property
    def space_compression(self) -> int:
        """Pixels per latent pixel, in height and in width."""
        return 2 ** (len(self.multipliers) - 1)

    @classmethod
    def wan21(cls, dtype: str = "bfloat16") -> "WanVAEConfig":
        """Wan 2.1: 16 channels, 4 frames by 8 by 8 pixels each."""
        return cls(
            width=96,
            multipliers=(1, 2, 4, 4),
            depth=2,
            halve_time=(False, True, True),
            latents_mean=WAN21_MEAN,
            latents_std=WAN21_STD,
            dtype=dtype,
        )

    def latent_shape(
        self, frames: int, height: int, width: int
    ) -> tuple[int, int, int]:
        """The latent grid (f, h, w) of a video.

        Raises a ValueError for sizes that do not divide, naming the nearest that do.
        """
        time, space = self.time_compression, self.space_compression
        must_fit("frames", frames, time, 1)
        must_fit("height", height, space, 0)
        must_fit("width", width, space, 0)
        return 1 + (frames - 1) // time, height // space, width // space
