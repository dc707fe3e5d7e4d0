"""Published Wan models: sizes that identify them, and their default settings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.protocols import Defaults
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.request import Request
from chorus_jax.schedulers import stored

# What Wan's authors tell their models to avoid (Wan-Video/Wan2.1, shared_config.py).
NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，"
    "最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，"
    "画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，"
    "杂乱的背景，三条腿，背景人很多，倒着走"
)
# What they add for image-to-video of Wan 2.1 (wan_i2v_14B.py), and between two images.
SHAKING = "镜头晃动，"
CUTTING = "镜头切换，"
FPS = 16  # Wan's, and of what is not recognised

# What diffusers' converter writes for most Wans, whatever their authors run them with
# (huggingface/diffusers#12094, Wan-Video/Wan2.2#69): no sign that anybody chose it.
STAMP = {"solver": "unipc", "shift": 3.0}


@dataclass(frozen=True)
class Variant:
    """A published model.

    Attributes:
        name: the name that its authors use.
        sizes: fields of its `WanConfig` that identify it; empty if they do not.
        defaults: its default settings.
        part: the part of a checkpoint folder that is run as its transformer.
        boundary: the published boundary between its two transformers (a run uses the
            checkpoint's); None with one transformer.
    """

    name: str
    sizes: Mapping[str, Any]
    defaults: Defaults
    part: str = TRANSFORMER
    boundary: float | None = None

    def fits(self, sizes: Sizes, part: str) -> bool:
        """Whether a model with these sizes, and this part as its transformer, may be
        this variant."""
        sizes_seen = {name: getattr(sizes.transformer, name) for name in self.sizes}
        paired = sizes.transformer_2 is not None
        same = part == self.part and paired == (self.boundary is not None)
        return same and bool(sizes_seen) and sizes_seen == self.sizes


def telling(
    heads: int,
    depth: int,
    mlp_width: int,
    channels: int,
    read: int | None = None,
    **images: int,
) -> dict[str, Any]:
    """The sizes by which a Wan model is recognised.

    Args:
        heads: the number of heads of a layer.
        depth: the number of layers.
        mlp_width: the width of the feed-forward network.
        channels: channels of the latents.
        read: channels of the transformer's input, if it reads images too.
        images: the sizes of its image embeddings, by field.
    """
    return {
        "heads": heads,
        "depth": depth,
        "mlp_width": mlp_width,
        "in_channels": channels if read is None else read,
        "out_channels": channels,
        "image_width": None,
        "image_positions": None,
        **images,
    }


def settings(source: str, fps: int = FPS, **fields: Any) -> Defaults:
    """Published settings: UniPC, and 81 frames of 1280x720 if not given."""
    usual: dict[str, Any] = {
        "negative_prompt": NEGATIVE_PROMPT,
        "height": 720,
        "width": 1280,
    }
    request = Request("", solver="unipc", **(usual | fields))
    return Defaults(request, fps, f"published for {source}")


BIG = telling(40, 40, 13824, 16)
T2V_1_3B = Variant(
    "Wan 2.1 T2V-1.3B",
    telling(12, 30, 8960, 16),
    # Guidance 6, shift 8 to 12: Wan-Video/Wan2.1, README, "Run Text-to-Video".
    settings(
        "Wan 2.1 T2V-1.3B (Wan-Video/Wan2.1, README)",
        height=480,
        width=832,
        shift=8.0,
        guidance_scale=6.0,
    ),
)
T2V_14B = Variant(
    "Wan 2.1 T2V-14B",
    BIG,
    # 50 steps, shift 5, guidance 5: Wan-Video/Wan2.1, generate.py.
    settings("Wan 2.1 T2V-14B (Wan-Video/Wan2.1, generate.py)"),
)
# The 480P and the 720P have the same sizes: those are taken for the first, and the
# words of its settings name the other.
I2V_480P = Variant(
    "Wan 2.1 I2V-14B-480P",
    telling(40, 40, 13824, 16, read=36, image_width=1280),
    settings(
        "Wan 2.1 I2V-14B-480P (Wan-Video/Wan2.1, generate.py; the 720P weights, of the "
        "same sizes, want --config wan21_i2v_720p)",
        negative_prompt=SHAKING + NEGATIVE_PROMPT,
        height=480,
        width=832,
        steps=40,
        shift=3.0,
    ),
)
I2V_720P = Variant(
    "Wan 2.1 I2V-14B-720P",
    {},
    settings(
        "Wan 2.1 I2V-14B-720P (Wan-Video/Wan2.1, generate.py)",
        negative_prompt=SHAKING + NEGATIVE_PROMPT,
        steps=40,
    ),
)
FLF2V_720P = Variant(
    "Wan 2.1 FLF2V-14B-720P",
    telling(40, 40, 13824, 16, read=36, image_width=1280, image_positions=514),
    # Guidance 5: generate.py's; the default of first_last_frame2video.py is 5.5.
    settings(
        "Wan 2.1 FLF2V-14B-720P (Wan-Video/Wan2.1, generate.py)",
        negative_prompt=CUTTING + SHAKING + NEGATIVE_PROMPT,
        shift=16.0,
    ),
)
T2V_A14B = Variant(
    "Wan 2.2 T2V-A14B",
    BIG,
    settings(
        "Wan 2.2 T2V-A14B (Wan-Video/Wan2.2, wan_t2v_A14B.py)",
        steps=40,
        shift=12.0,
        guidance_scale=4.0,
        guidance_scale_high=4.0,
        guidance_scale_low=3.0,
    ),
    boundary=0.875,
)
I2V_A14B = Variant(
    "Wan 2.2 I2V-A14B",
    telling(40, 40, 13824, 16, read=36),
    settings(
        "Wan 2.2 I2V-A14B (Wan-Video/Wan2.2, wan_i2v_A14B.py)",
        steps=40,
        guidance_scale=3.5,
    ),
    boundary=0.9,
)
TI2V_5B = Variant(
    "Wan 2.2 TI2V-5B",
    telling(24, 30, 14336, 48),
    settings(
        "Wan 2.2 TI2V-5B (Wan-Video/Wan2.2, wan_ti2v_5B.py)",
        fps=24,
        frames=121,
        height=704,
    ),
)
SHAPES = Variant(
    "small Wan of the shapes world",
    telling(9, 5, 864, 8),
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
RELEASED = (
    *(T2V_1_3B, T2V_14B, I2V_480P, I2V_720P, FLF2V_720P),
    *(T2V_A14B, I2V_A14B, TI2V_5B),
)
VARIANTS = (*RELEASED, SHAPES, SHAPES_4STEP)
PUBLISHED = {variant.name: variant.defaults for variant in RELEASED}


def defaults_of(
    sizes: Sizes, part: str, scheduler: Mapping[str, Any] | None
) -> Defaults:
    """The default settings of a model.

    Args:
        sizes: the sizes of the model's parts.
        part: the part of its folder that is the transformer.
        scheduler: the scheduler's config that its weights came with, if any; settings
            that differ from diffusers' defaults override the published ones.

    Raises:
        ValueError: if the scheduler is one that is not run here (see `stored.read`).
    """
    chosen = {} if scheduler is None else stored.read(scheduler)
    variants = [variant for variant in VARIANTS if variant.fits(sizes, part)]
    if not variants:
        source = "Wan's usual ones: this model is not recognised"
        if chosen:
            source += "; solver and shift are those its weights came with"
        return Defaults(Request("", **chosen), FPS, source)
    defaults = variants[0].defaults
    request = replace(defaults.request, **chosen)
    if request == defaults.request:
        return defaults
    if chosen == STAMP:
        return replace(defaults, source=overruling(defaults, chosen))
    source = f"{defaults.source}; solver and shift are those its weights came with"
    return replace(defaults, request=request, source=source)


def overruling(defaults: Defaults, chosen: Mapping[str, Any]) -> str:
    """The source of the settings in words, naming those that override the ones the
    weights came with."""
    names = [name for name in chosen if getattr(defaults.request, name) != chosen[name]]
    ours = ", ".join(f"{name} {getattr(defaults.request, name)}" for name in names)
    names_of = ", ".join(f"{name} {chosen[name]}" for name in names)
    return (
        f"{defaults.source}; their {ours} overrules {names_of} of the scheduler file "
        "that came with the weights"
    )
