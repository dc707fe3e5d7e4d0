"""Sizes of the Wan transformer."""

from dataclasses import dataclass, field

from chorus_jax.checkpoints.fields import ADDED


@dataclass(frozen=True)
class WanConfig:
    """Sizes of a Wan transformer; `t2v_1_3b` and `t2v_14b` are the published ones.

    Timesteps may be one per request or one per token at any size.

    Attributes:
        heads: the number of heads of both attentions.
        depth: the number of layers.
        mlp_width: the width of the feed-forward network.
        head_width: the width of a head; `heads` times it is the model's width.
        in_channels: channels of the transformer's input: the latents' and, in image
            models, those of mask and image.
        out_channels: channels of the velocity.
        text_width: the width of the text encoder's embeddings.
        text_limit: the largest number of text tokens that are read.
        time_width: the width of the timestep's sinusoidal features.
        image_width: the width of image embeddings that are attended to besides the text
            (Wan 2.1 image-to-video); None without them.
        image_positions: image tokens that have learnt positions: those of the first and
            the last frame (Wan 2.1 FLF2V); None without positions.
        patch: latent frames, rows and columns of a token.
        tile: tokens of a region's tile, cut to the nearest divisors of a video's grid
            (`Tiling.fitting`).
        cross_norm: whether cross-attention's input is normalised with weights.
        epsilon: the epsilon of the norms.
        dtype: the dtype of weights and computation.
    """

    heads: int
    depth: int
    mlp_width: int
    head_width: int = 128
    in_channels: int = 16
    out_channels: int = 16
    text_width: int = 4096
    text_limit: int = 512
    time_width: int = 256
    image_width: int | None = None
    image_positions: int | None = field(default=None, metadata=ADDED)
    patch: tuple[int, int, int] = (1, 2, 2)
    tile: tuple[int, int, int] = (4, 4, 8)
    cross_norm: bool = True
    epsilon: float = 1e-6
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if self.head_width % 2 or self.head_width < 6:
            raise ValueError(
                f"{self.head_width=} must be even and at least 6: rotary positions "
                "turn pairs of channels, some for each of frames, height and width"
            )
        if self.image_positions is not None and self.image_width is None:
            raise ValueError(
                f"{self.image_positions=} are positions of image tokens, but without "
                "image_width none are read"
            )

    @property
    def width(self) -> int:
        """The model's width c."""
        return self.heads * self.head_width

    @classmethod
    def t2v_1_3b(cls, dtype: str = "bfloat16") -> "WanConfig":
        """Wan 2.1 T2V-1.3B."""
        return cls(heads=12, depth=30, mlp_width=8960, dtype=dtype)

    @classmethod
    def t2v_14b(cls, dtype: str = "bfloat16") -> "WanConfig":
        """Wan 2.1 T2V-14B."""
        return cls(heads=40, depth=40, mlp_width=13824, dtype=dtype)
