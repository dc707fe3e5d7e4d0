"""Sizes of the Wan transformer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WanConfig:
    """Sizes of a Wan transformer; `t2v_1_3b` and `t2v_14b` are the published ones.

    `image_width` adds the image stream of image-to-video: embeddings of that width are
    attended beside the text. Timesteps may be one a request or one a token at any size.
    `tile` is the box of tokens that regions are made of, cut to the nearest divisors of
    a video's grid (`Tiling.fitting`).
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
