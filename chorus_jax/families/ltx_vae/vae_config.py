"""Sizes of an LTX VAE and what follows from them: compression, decoding."""

import math
from dataclasses import dataclass

from chorus_jax.nets.tokens import Size

DOWN: dict[str, Size] = {
    "none": (1, 1, 1),
    "conv": (2, 2, 2),
    "spatial": (1, 2, 2),
    "temporal": (2, 1, 1),
    "spatiotemporal": (2, 2, 2),
}
PADDINGS = ("zeros", "reflect")


@dataclass(frozen=True)
class LTXVAEConfig:
    """Sizes of an LTX VAE.

    Published ones are `v090`, `v091` and `v095` of LTX-Video, `v2` and `v23` of LTX-2.

    Attributes:
        encoder_widths: the width before the first stage, then that after each stage.
        encoder_depths: residual blocks of each stage, then of the middle.
        down: how each stage of the encoder shrinks the video: a name of `DOWN`. `conv`
            is a convolution with strides, before which the stage's blocks run and
            after which a residual block changes the width; the others but `none` fold
            pixels into channels.
        decoder_widths: the width of the middle, then that of each stage.
        decoder_depths: residual blocks of the middle, then of each stage.
        up: the factor by which each stage of the decoder divides the channels as it
            enlarges the video; 0 if it does not enlarge.
        up_residual: whether a stage's enlarged input is added to its output.
        decoder_noise: whether the blocks of the middle and of each stage add noise.
        timestep: whether the decoder is conditioned on a timestep.
        decoder_causal: whether the decoder sees only the past.
        latent_channels: channels of the latents.
        patch: pixels along height and width that are folded into channels first.
        up_by: the box of `DOWN` that each stage of the decoder enlarges by; () for
            frames, height and width in all stages.
        encoder_padding: how the encoder pads pictures, one of `PADDINGS`.
        decoder_padding: how the decoder pads pictures.
        decode_timestep: the noise level that the decoder is conditioned on.
        decode_noise: the share of noise mixed into the latents before decoding.
        dtype: the dtype of weights and activations.

    Raises:
        ValueError: for lists of stages that do not match.
    """

    encoder_widths: tuple[int, ...]
    encoder_depths: tuple[int, ...]
    down: tuple[str, ...]
    decoder_widths: tuple[int, ...]
    decoder_depths: tuple[int, ...]
    up: tuple[int, ...]
    up_residual: bool
    decoder_noise: tuple[bool, ...]
    timestep: bool
    decoder_causal: bool = False
    latent_channels: int = 128
    patch: int = 4
    up_by: tuple[str, ...] = ()
    encoder_padding: str = "zeros"
    decoder_padding: str = "zeros"
    decode_timestep: float = 0.05
    decode_noise: float = 0.025
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        stages = {
            "encoder_widths": (len(self.encoder_widths), len(self.down) + 1),
            "encoder_depths": (len(self.encoder_depths), len(self.down) + 1),
            "decoder_widths": (len(self.decoder_widths), len(self.up) + 1),
            "decoder_depths": (len(self.decoder_depths), len(self.up) + 1),
            "decoder_noise": (len(self.decoder_noise), len(self.up) + 1),
        }
        for name, (count, expected) in stages.items():
            if count != expected:
                raise ValueError(
                    f"{name} must have {expected} numbers, one more than the stages of "
                    f"its half, got {count}"
                )
        for name in ("down", "up_by"):
            if not set(getattr(self, name)) <= set(DOWN):
                names = ", ".join(DOWN)
                raise ValueError(f"{name} is of {names}, got {getattr(self, name)}")
        paddings = (self.encoder_padding, self.decoder_padding)
        if not set(paddings) <= set(PADDINGS):
            raise ValueError(f"paddings are of {PADDINGS}, got {paddings}")
        if self.up_by and len(self.up_by) != len(self.up):
            raise ValueError(
                f"up_by must name a box for each of {len(self.up)} stages, got "
                f"{self.up_by}"
            )
        if self.timestep and any(self.changes):
            raise ValueError(
                "a decoder with a timestep changes its width only where it doubles the "
                f"video, got widths {self.decoder_widths} with {self.up=}"
            )

    @property
    def stage_inputs(self) -> tuple[int, ...]:
        """The width that each stage of the decoder begins with."""
        pairs = zip(self.decoder_widths, self.up)
        return tuple(width // (factor or 1) for width, factor in pairs)

    @property
    def changes(self) -> tuple[bool, ...]:
        """Whether each stage of the decoder changes the width by a residual block."""
        pairs = zip(self.stage_inputs, self.decoder_widths[1:])
        return tuple(before != after for before, after in pairs)

    @property
    def up_boxes(self) -> tuple[Size, ...]:
        """The factors by which each stage of the decoder enlarges frames, height and
        width."""
        names = self.up_by or ("spatiotemporal",) * len(self.up)
        return tuple(DOWN[name if on else "none"] for name, on in zip(names, self.up))

    @property
    def time_compression(self) -> int:
        """Video frames per latent frame; the first latent frame stands for one
        frame."""
        return math.prod(box[0] for box in self.up_boxes)

    @property
    def space_compression(self) -> int:
        """Pixels per latent pixel, in height and in width."""
        return self.patch * math.prod(box[1] for box in self.up_boxes)

    @classmethod
    def v090(cls, dtype: str = "bfloat16") -> "LTXVAEConfig":
        """0.9.0: the decoder is the encoder's mirror."""
        return cls(
            encoder_widths=(128, 256, 512, 512, 512),
            encoder_depths=(4, 3, 3, 3, 4),
            down=("conv", "conv", "conv", "none"),
            decoder_widths=(512, 512, 512, 256, 128),
            decoder_depths=(4, 3, 3, 3, 4),
            up=(0, 1, 1, 1),
            up_residual=False,
            decoder_noise=(False,) * 5,
            timestep=False,
            dtype=dtype,
        )

    @classmethod
    def v091(cls, dtype: str = "bfloat16") -> "LTXVAEConfig":
        """0.9.1: the decoder is conditioned on a timestep and adds noise."""
        return cls(
            encoder_widths=(128, 256, 512, 512, 512),
            encoder_depths=(4, 3, 3, 3, 4),
            down=("conv", "conv", "conv", "none"),
            decoder_widths=(1024, 512, 256, 128),
            decoder_depths=(8, 7, 6, 5),
            up=(2, 2, 2),
            up_residual=True,
            decoder_noise=(False, True, True, True),
            timestep=True,
            dtype=dtype,
        )

    @classmethod
    def v095(cls, dtype: str = "bfloat16") -> "LTXVAEConfig":
        """0.9.5 to 0.9.8: a wider encoder that folds pixels into channels."""
        return cls(
            encoder_widths=(128, 256, 512, 1024, 2048),
            encoder_depths=(4, 6, 6, 2, 2),
            down=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
            decoder_widths=(1024, 512, 256, 128),
            decoder_depths=(5, 5, 5, 5),
            up=(2, 2, 2),
            up_residual=True,
            decoder_noise=(False,) * 4,
            timestep=True,
            dtype=dtype,
        )

    @classmethod
    def v2(cls, dtype: str = "bfloat16") -> "LTXVAEConfig":
        """LTX-2 (19B)."""
        return cls(
            encoder_widths=(128, 256, 512, 1024, 2048),
            encoder_depths=(4, 6, 6, 2, 2),
            down=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
            decoder_widths=(1024, 512, 256, 128),
            decoder_depths=(5, 5, 5, 5),
            up=(2, 2, 2),
            up_residual=True,
            decoder_noise=(False,) * 4,
            timestep=False,
            up_by=("spatiotemporal",) * 3,
            decoder_padding="reflect",
            dtype=dtype,
        )

    @classmethod
    def v23(cls, dtype: str = "bfloat16") -> "LTXVAEConfig":
        """LTX-2.3 (22B)."""
        return cls(
            encoder_widths=(128, 256, 512, 1024, 1024),
            encoder_depths=(4, 6, 4, 2, 2),
            down=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
            decoder_widths=(1024, 512, 512, 256, 128),
            decoder_depths=(2, 2, 4, 6, 4),
            up=(2, 1, 2, 2),
            up_residual=False,
            decoder_noise=(False,) * 5,
            timestep=False,
            up_by=("spatiotemporal", "spatiotemporal", "temporal", "spatial"),
            dtype=dtype,
        )
