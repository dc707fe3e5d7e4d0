"""Rules for the LTX-Video transformer in diffusers' layout and original single files.

Source: huggingface/diffusers, models/transformers/transformer_ltx.py;
Lightricks/LTX-Video, ltx_video/models/transformers/transformer3d.py.
"""

from collections.abc import Iterator
from dataclasses import replace

from chorus_jax.families.ltx.config import LTXConfig
from convert.rules import LINEAR, Rule

NORMS = {"norm_q": "q_norm", "norm_k": "k_norm"}

_TIME = "time_embed.emb.timestep_embedder"
_BLOCK = "transformer_blocks.{layer}"


def _linear(source: str, target: str) -> tuple[Rule, Rule]:
    return (
        Rule(f"{source}.weight", f"{target}.kernel", LINEAR),
        Rule(f"{source}.bias", f"{target}.bias"),
    )


def _attention(source: str, target: str) -> Iterator[Rule]:
    for published, here in (
        ("to_q", "q"),
        ("to_k", "k"),
        ("to_v", "v"),
        ("to_out.0", "o"),
    ):
        yield from _linear(f"{source}.{published}", f"{target}.{here}")
    for published, here in NORMS.items():
        yield Rule(f"{source}.{published}.weight", f"{target}.{here}.scale")


DIFFUSERS: tuple[Rule, ...] = (
    *_linear("proj_in", "patch"),
    *_linear(f"{_TIME}.linear_1", "time.inner"),
    *_linear(f"{_TIME}.linear_2", "time.outer"),
    *_linear("time_embed.linear", "modulation"),
    *_linear("caption_projection.linear_1", "text.inner"),
    *_linear("caption_projection.linear_2", "text.outer"),
    Rule(f"{_BLOCK}.scale_shift_table", "layers.modulation"),
    *_attention(f"{_BLOCK}.attn1", "layers.attn"),
    *_attention(f"{_BLOCK}.attn2", "layers.cross"),
    *_linear(f"{_BLOCK}.ff.net.0.proj", "layers.mlp.inner"),
    *_linear(f"{_BLOCK}.ff.net.2", "layers.mlp.outer"),
    Rule("scale_shift_table", "out.modulation"),
    *_linear("proj_out", "out.linear"),
)

# The original names of modules that diffusers renames.
MAKERS = {
    **{"proj_in": "patchify_proj", "time_embed": "adaln_single"},
    **{"norm_q": "q_norm", "norm_k": "k_norm"},
}


def makers_name(name: str) -> str:
    """Translates a tensor's name in diffusers to its original name."""
    return ".".join(MAKERS.get(part, part) for part in name.split("."))


ORIGINAL: tuple[Rule, ...] = tuple(
    replace(rule, source=makers_name(rule.source)) for rule in DIFFUSERS
)

REQUIRED = {
    **{"norm_elementwise_affine": False, "qk_norm": "rms_norm_across_heads"},
    **{"activation_fn": "gelu-approximate", "patch_size": 1, "patch_size_t": 1},
    **{"attention_bias": True, "attention_out_bias": True},
}
REQUIRED_ORIGINAL = {
    **{"norm_elementwise_affine": False, "qk_norm": "rms_norm"},
    **{"activation_fn": "gelu-approximate", "attention_bias": True},
    **{"positional_embedding_type": "rope", "positional_embedding_theta": 10000.0},
    **{"positional_embedding_max_pos": [20, 2048, 2048]},
    **{"timestep_scale_multiplier": 1000, "standardization_norm": "rms_norm"},
    **{"adaptive_norm": "single_scale_shift", "only_cross_attention": False},
    **{"double_self_attention": False},
}


def config(source: dict, dtype: str) -> LTXConfig:
    """Our config from diffusers' transformer/config.json.

    That file lacks `causal_temporal_positioning`, which `ltx_source` adds.

    Raises:
        ValueError: for an unsupported transformer.
    """
    return _sizes(source, REQUIRED, dtype)


def original_config(source: dict, dtype: str) -> LTXConfig:
    """Our config from the metadata of a single file (`config`, `transformer`).

    Raises:
        ValueError: for an unsupported transformer.
    """
    return _sizes(source, REQUIRED_ORIGINAL, dtype)


def _sizes(source: dict, required: dict, dtype: str) -> LTXConfig:
    width = source["num_attention_heads"] * source["attention_head_dim"]
    fixed = {**required, "cross_attention_dim": width}
    for key, expected in fixed.items():
        value = source.get(key, expected)
        if value != expected:
            raise ValueError(
                f"the transformer has {key}={value!r}; supported is {expected!r}"
            )
    return LTXConfig(
        heads=source["num_attention_heads"],
        depth=source["num_layers"],
        head_width=source["attention_head_dim"],
        in_channels=source["in_channels"],
        out_channels=source.get("out_channels") or source["in_channels"],
        text_width=source["caption_channels"],
        causal_positions=source.get("causal_temporal_positioning", False),
        block_epsilon=source.get("norm_eps", 1e-6),
        dtype=dtype,
    )
