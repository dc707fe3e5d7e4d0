"""The released Wan models: their authors' settings, and the sizes that tell them apart.

Source: Wan-Video/Wan2.1 generate.py; Wan-Video/Wan2.2 generate.py and
wan/configs/wan_t2v_A14B.py, wan_i2v_A14B.py, wan_ti2v_5B.py (sample_shift,
sample_steps, sample_guide_scale as (low, high), boundary, sample_fps). The scheduler
files in the A14B repositories of diffusers' layout have flow_shift 3 instead
(huggingface/diffusers#12094, Wan-Video/Wan2.2#69).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from chorus_jax.families.wan.sizes import Sizes


@dataclass(frozen=True)
class Variant:
    """One released model.

    Attributes:
        height: of its videos, in pixels.
        width: of its videos, in pixels.
        steps: of UniPC.
        shift: of the schedule.
        guidance: the scales above and below the boundary, or the one scale.
        frames: of its videos.
        fps: frames per second of its videos.
        boundary: where the experts change; None with one transformer.
    """

    height: int
    width: int
    steps: int
    shift: float
    guidance: tuple[float, ...]
    frames: int = 81
    fps: int = 16
    boundary: float | None = None

    @property
    def request(self) -> Mapping[str, Any]:
        """These settings as fields of a request."""
        fields: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("height", "width", "frames", "steps", "shift")
        }
        high, low = self.guidance[0], self.guidance[-1]
        if self.boundary is not None:
            fields |= {"guidance_scale_high": high, "guidance_scale_low": low}
        return fields | {"solver": "unipc", "guidance_scale": high}


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "wan22_t2v_a14b": Variant(720, 1280, 40, 12.0, (4.0, 3.0), boundary=0.875),
        "wan22_i2v_a14b": Variant(720, 1280, 40, 5.0, (3.5, 3.5), boundary=0.9),
        "wan22_ti2v_5b": Variant(704, 1280, 50, 5.0, (5.0,), frames=121, fps=24),
        "wan21_i2v_480p": Variant(480, 832, 40, 3.0, (5.0,)),
        "wan21_i2v_720p": Variant(720, 1280, 40, 5.0, (5.0,)),
    }
)


def variant_of(sizes: Sizes) -> str | None:
    """The name of the released model of these sizes; None if that is not known.

    The two image-to-video models of Wan 2.1 have the same sizes, so neither is named.
    """
    wan = sizes.transformer
    widths = (wan.heads, wan.depth, wan.mlp_width, wan.head_width)
    if widths == (40, 40, 13824, 128):
        if sizes.transformer_2 is None:
            return None
        return "wan22_i2v_a14b" if sizes.conditioned else "wan22_t2v_a14b"
    if widths == (24, 30, 14336, 128) and wan.in_channels == 48:
        return "wan22_ti2v_5b"
    return None
