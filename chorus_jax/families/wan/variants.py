"""Published Wan models: sizes that identify them, and their default settings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.protocols import Defaults
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.request import Request, scheduled

# What Wan's authors tell their models to avoid (Wan-Video/Wan2.1, shared_config.py).
NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，"
    "最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，"
    "画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，"
    "杂乱的背景，三条腿，背景人很多，倒着走"
)
FPS = 16  # Wan's, and of what is not recognised

# What diffusers' converter writes for every text-to-video Wan, whatever its authors run
# it with (huggingface/diffusers#12094): no sign that anybody chose it.
STAMP = {"solver": "unipc", "shift": 3.0}


@dataclass(frozen=True)
class Variant:
    """A published model.

    Attributes:
        name: as its authors call it.
        sizes: fields of its `WanConfig` that identify it.
        defaults: its settings.
        part: the part of a checkpoint folder that it is.
    """

    name: str
    sizes: Mapping[str, Any]
    defaults: Defaults
    part: str = TRANSFORMER

    def fits(self, config: WanConfig, part: str) -> bool:
        """Whether a part with this config is this model, as far as sizes say."""
        sizes = {name: getattr(config, name) for name in self.sizes}
        return part == self.part and sizes == self.sizes


def sizes(heads: int, depth: int, mlp_width: int, channels: int) -> dict[str, int]:
    """The sizes that tell a text-to-video Wan from others."""
    streams = {"in_channels": channels, "out_channels": channels}
    return {"heads": heads, "depth": depth, "mlp_width": mlp_width, **streams}


T2V_1_3B = Variant(
    "Wan 2.1 T2V-1.3B",
    sizes(12, 30, 8960, 16),
    Defaults(
        # Guidance 6, shift 8 to 12: Wan-Video/Wan2.1, README, "Run Text-to-Video".
        Request("", NEGATIVE_PROMPT, 81, 480, 832, 50, "unipc", 8.0, 6.0),
        FPS,
        "published for Wan 2.1 T2V-1.3B (Wan-Video/Wan2.1, README)",
    ),
)
T2V_14B = Variant(
    "Wan 2.1 T2V-14B",
    sizes(40, 40, 13824, 16),
    Defaults(
        # 50 steps, shift 5, guidance 5: Wan-Video/Wan2.1, generate.py.
        Request("", NEGATIVE_PROMPT, 81, 720, 1280, 50, "unipc", 5.0, 5.0),
        FPS,
        "published for Wan 2.1 T2V-14B (Wan-Video/Wan2.1, generate.py)",
    ),
)
SHAPES = Variant(
    "small Wan of the shapes world",
    sizes(5, 7, 512, 8),
    Defaults(
        Request("", "", 17, 64, 64, 50, "euler", 3.0, 3.0),
        8,
        "what these weights were trained for (shapes)",
    ),
)
SHAPES_4STEP = Variant(
    "small Wan of the shapes world, distilled",
    SHAPES.sizes,
    Defaults(
        Request("", "", 17, 64, 64, (1.0, 0.75, 0.5, 0.25), "euler", 3.0, 1.0),
        8,
        "what these weights were trained for (shapes_4step)",
    ),
    "transformer_4step",
)
VARIANTS = (T2V_1_3B, T2V_14B, SHAPES, SHAPES_4STEP)
PUBLISHED = {variant.name: variant.defaults for variant in (T2V_1_3B, T2V_14B)}


def defaults_of(
    config: WanConfig, part: str, scheduler: Mapping[str, Any] | None
) -> Defaults:
    """The default settings of a model.

    Args:
        config: of its transformer.
        part: the part of its folder that is the transformer.
        scheduler: the scheduler's config that its weights came with, if any; one that
            somebody chose goes before what is published.
    """
    chosen = scheduled(scheduler)
    variants = [variant for variant in VARIANTS if variant.fits(config, part)]
    if not variants:
        source = "Wan's usual ones: this model is not recognised"
        if chosen:
            source += "; solver and shift are those its weights came with"
        return Defaults(Request("", **chosen), FPS, source)
    defaults = variants[0].defaults
    request = replace(defaults.request, **chosen)
    if chosen in ({}, STAMP) or request == defaults.request:
        return defaults
    source = f"{defaults.source}; solver and shift are those its weights came with"
    return replace(defaults, request=request, source=source)
