"""Rules for the LTX-Video transformer in diffusers' layout.

Source: huggingface/diffusers, models/transformers/transformer_ltx.py.
"""

from collections.abc import Iterator

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

REQUIRED = {
    **{"norm_elementwise_affine": False, "qk_norm": "rms_norm_across_heads"},
    **{"activation_fn": "gelu-approximate", "patch_size": 1, "patch_size_t": 1},
    **{"attention_bias": True, "attention_out_bias": True},
}


def config(source: dict, dtype: str) -> LTXConfig:
    """The sizes in diffusers' transformer/config.json.

    `causal_temporal_positioning` is not in it: `ltx_source` adds it. Raises ValueError
    for a transformer of another make.
    """
    width = source["num_attention_heads"] * source["attention_head_dim"]
    fixed = {**REQUIRED, "cross_attention_dim": width}
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
        out_channels=source["out_channels"] or source["in_channels"],
        text_width=source["caption_channels"],
        causal_positions=source.get("causal_temporal_positioning", False),
        block_epsilon=source["norm_eps"],
        dtype=dtype,
    )
