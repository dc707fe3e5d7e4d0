"""Sizes of the LTX-Video transformer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LTXConfig:
    """Sizes of an LTX-Video transformer; `b2` and `b13` are the published ones.

    Attributes:
        heads: the number of heads of all attentions.
        depth: the number of layers.
        head_width: the width of a head.
        in_channels: channels of the latents.
        out_channels: channels of the velocity.
        text_width: the width of the text encoder's embeddings.
        text_limit: tokens of a prompt, padding included.
        time_width: the width of the timestep's sinusoidal features.
        causal_positions: True if the first latent frame is placed at the time of its
            only frame (0.9.5 and later), False if it is placed like the first of a full
            group.
        tile: the box of tokens that regions are made of (`Tiling.fitting`).
        epsilon: the epsilon of the norms of queries and keys.
        block_epsilon: the epsilon of the norms before self-attention, feed-forward and
            the head.
        dtype: the dtype of weights and activations.

    Raises:
        ValueError: for heads of an odd width.
    """

    heads: int
    depth: int
    head_width: int = 64
    in_channels: int = 128
    out_channels: int = 128
    text_width: int = 4096
    text_limit: int = 256
    time_width: int = 256
    causal_positions: bool = False
    tile: tuple[int, int, int] = (4, 4, 8)
    epsilon: float = 1e-5
    block_epsilon: float = 1e-6
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if self.head_width % 2 or self.width < 6:
            raise ValueError(
                f"{self.head_width=} must be even, and the width of all heads at least "
                "6: rotary positions turn pairs of channels, some for each of frames, "
                "height and width"
            )

    @property
    def width(self) -> int:
        """The model's width c."""
        return self.heads * self.head_width

    @property
    def patch(self) -> tuple[int, int, int]:
        """The number of latents per token: 1 along each axis, because the VAE
        compresses enough."""
        return (1, 1, 1)

    @classmethod
    def b2(cls, dtype: str = "bfloat16") -> "LTXConfig":
        """LTX-Video 2B, 0.9.0 and 0.9.1."""
        return cls(heads=32, depth=28, dtype=dtype)

    @classmethod
    def b13(cls, dtype: str = "bfloat16") -> "LTXConfig":
        """LTX-Video 13B, 0.9.7 and 0.9.8."""
        return cls(32, 48, head_width=128, causal_positions=True, dtype=dtype)
