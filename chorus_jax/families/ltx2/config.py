"""Sizes of the LTX-2 transformer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LTX2Config:
    """Sizes of an LTX-2 transformer; `b19` and `b22` are the published ones.

    Attributes:
        heads: the number of heads of the video's attentions.
        head_width: the width of such a head.
        audio_heads: the number of heads of the audio's attentions, and of the
            attentions between the streams.
        audio_head_width: the width of such a head.
        depth: the number of layers.
        in_channels: channels of the video's latents.
        out_channels: channels of the video's velocity.
        audio_channels: channels of an audio token, in and out.
        text_width: the width of the text's embeddings, which are projected to both
            streams; None if they have the width of each stream already (2.3).
        text_limit: tokens of a prompt, registers included.
        gated: whether the heads of all attentions have gates of their own (2.3).
        text_modulated: whether the timestep modulates attention to the text (2.3).
        time_width: the width of the timestep's sinusoidal features.
        gate_rate: the factor on the timestep that the gates between the streams read.
        extent: the seconds, height and width in pixels that the video's positions are
            divided by.
        audio_extent: the seconds that the audio's positions are divided by.
        tile: the box of video tokens that regions are made of (`Tiling.fitting`).
        epsilon: the epsilon of the norms of queries and keys.
        block_epsilon: the epsilon of the norms of the streams.
        dtype: the dtype of weights and activations.

    Raises:
        ValueError: for heads of an odd width.
    """

    heads: int
    head_width: int
    audio_heads: int
    audio_head_width: int
    depth: int
    in_channels: int = 128
    out_channels: int = 128
    audio_channels: int = 128
    text_width: int | None = 3840
    text_limit: int = 1024
    gated: bool = False
    text_modulated: bool = False
    time_width: int = 256
    gate_rate: float = 1.0
    extent: tuple[int, int, int] = (20, 2048, 2048)
    audio_extent: int = 20
    tile: tuple[int, int, int] = (4, 4, 8)
    epsilon: float = 1e-6
    block_epsilon: float = 1e-6
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if self.head_width % 2 or self.audio_head_width % 2 or self.width < 6:
            raise ValueError(
                f"{self.head_width=} and {self.audio_head_width=} must be even, and "
                "the width of all heads at least 6: rotary positions turn pairs of "
                "channels, some for each of frames, height and width"
            )

    @property
    def width(self) -> int:
        """The width c of the video's stream."""
        return self.heads * self.head_width

    @property
    def audio_width(self) -> int:
        """The width of the audio's stream, and of attention between the streams."""
        return self.audio_heads * self.audio_head_width

    @property
    def patch(self) -> tuple[int, int, int]:
        """The number of latents per token: 1 along each axis, because the VAE
        compresses enough."""
        return (1, 1, 1)

    @property
    def rows(self) -> int:
        """Modulation rows per stream and layer: shift, scale and gate for each
        modulated part."""
        return 9 if self.text_modulated else 6

    @classmethod
    def b19(cls, dtype: str = "bfloat16") -> "LTX2Config":
        """LTX-2 (19B)."""
        return cls(32, 128, 32, 64, 48, dtype=dtype)

    @classmethod
    def b22(cls, dtype: str = "bfloat16") -> "LTX2Config":
        """LTX-2.3 (22B)."""
        return cls(
            *(32, 128, 32, 64, 48),
            text_width=None,
            gated=True,
            text_modulated=True,
            dtype=dtype,
        )
