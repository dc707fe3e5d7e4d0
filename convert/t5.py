"""Rules for T5 and UMT5 encoders, with transformers' names and Wan's original names.

Sources: huggingface/transformers, models/umt5/modeling_umt5.py and
models/t5/modeling_t5.py; Wan-Video/Wan2.1, wan/modules/t5.py.
"""

import dataclasses

from chorus_jax.nets.t5 import T5Config
from convert.rules import LINEAR, Alias, Rule

_ATTENTION = "encoder.block.{layer}.layer.0"
_MLP = "encoder.block.{layer}.layer.1"
_BIAS = "layer.0.SelfAttention.relative_attention_bias.weight"

DIFFUSERS: tuple[Rule | Alias, ...] = (
    Rule("shared.weight", "embedding.table"),
    Alias("encoder.embed_tokens.weight", "shared.weight"),
    Rule(f"{_ATTENTION}.layer_norm.weight", "layers.attn_norm.scale"),
    Rule(f"{_ATTENTION}.SelfAttention.q.weight", "layers.attn.q.kernel", LINEAR),
    Rule(f"{_ATTENTION}.SelfAttention.k.weight", "layers.attn.k.kernel", LINEAR),
    Rule(f"{_ATTENTION}.SelfAttention.v.weight", "layers.attn.v.kernel", LINEAR),
    Rule(f"{_ATTENTION}.SelfAttention.o.weight", "layers.attn.o.kernel", LINEAR),
    # UMT5 has a bias per layer, T5 one bias for all layers, stored in the first one.
    Rule(f"encoder.block.{{layer}}.{_BIAS}", "layers.bias.table"),
    Rule(f"encoder.block.0.{_BIAS}", "bias.table"),
    Rule(f"{_MLP}.layer_norm.weight", "layers.mlp_norm.scale"),
    Rule(f"{_MLP}.DenseReluDense.wi_0.weight", "layers.mlp.gate.kernel", LINEAR),
    Rule(f"{_MLP}.DenseReluDense.wi_1.weight", "layers.mlp.inner.kernel", LINEAR),
    Rule(f"{_MLP}.DenseReluDense.wo.weight", "layers.mlp.outer.kernel", LINEAR),
    Rule("encoder.final_layer_norm.weight", "norm.scale"),
)

ORIGINAL: tuple[Rule | Alias, ...] = (
    Rule("token_embedding.weight", "embedding.table"),
    Rule("blocks.{layer}.norm1.weight", "layers.attn_norm.scale"),
    Rule("blocks.{layer}.attn.q.weight", "layers.attn.q.kernel", LINEAR),
    Rule("blocks.{layer}.attn.k.weight", "layers.attn.k.kernel", LINEAR),
    Rule("blocks.{layer}.attn.v.weight", "layers.attn.v.kernel", LINEAR),
    Rule("blocks.{layer}.attn.o.weight", "layers.attn.o.kernel", LINEAR),
    Rule("blocks.{layer}.pos_embedding.embedding.weight", "layers.bias.table"),
    Rule("blocks.{layer}.norm2.weight", "layers.mlp_norm.scale"),
    Rule("blocks.{layer}.ffn.gate.0.weight", "layers.mlp.gate.kernel", LINEAR),
    Rule("blocks.{layer}.ffn.fc1.weight", "layers.mlp.inner.kernel", LINEAR),
    Rule("blocks.{layer}.ffn.fc2.weight", "layers.mlp.outer.kernel", LINEAR),
    Rule("norm.weight", "norm.scale"),
)


def config(source: dict, dtype: str) -> T5Config:
    """Our config from transformers' text_encoder/config.json.

    Raises:
        ValueError: for a model that is no T5 or UMT5 with a gated GELU.
    """
    kind = source.get("model_type")
    if kind not in ("t5", "umt5"):
        raise ValueError(f"the text encoder is a {kind!r}; supported are 't5', 'umt5'")
    mlp = source["feed_forward_proj"]
    if mlp != "gated-gelu":
        raise ValueError(f"the encoder's mlp is {mlp!r}; supported is 'gated-gelu'")
    return T5Config(
        width=source["d_model"],
        depth=source["num_layers"],
        heads=source["num_heads"],
        mlp_width=source["d_ff"],
        vocab=source["vocab_size"],
        head_width=source["d_kv"],
        buckets=source["relative_attention_num_buckets"],
        max_distance=source["relative_attention_max_distance"],
        relative_bias_every_layer=kind == "umt5",
        epsilon=source["layer_norm_epsilon"],
        dtype=dtype,
    )


def original_config(source: dict, dtype: str) -> T5Config:
    """Our config of the original release, which has no config file.

    `source` holds the sizes inferred from its tensors (`inferred.text_encoder`); the
    other fields are umT5-XXL's.
    """
    return dataclasses.replace(T5Config.umt5_xxl(dtype), **source)
