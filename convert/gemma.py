"""Rules for Gemma 3's language model in transformers' layout.

Source: huggingface/transformers, models/gemma3/modeling_gemma3.py. Its norms scale by
1 + weight, ours by the weight.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from chorus_jax.nets.gemma import GemmaConfig
from convert.rules import LINEAR, Fix, Rule

ONE_MORE = Fix(lambda x: x.astype(np.float32) + 1, lambda x: x - 1)

# Prefixes of the language model alone, and within the multimodal model.
PREFIXES = (
    *("", "model.", "language_model.", "model.language_model."),
    "language_model.model.",
)

_NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "attn_out_norm",
    "pre_feedforward_layernorm": "mlp_norm",
    "post_feedforward_layernorm": "mlp_out_norm",
    "self_attn.q_norm": "attn.q_norm",
    "self_attn.k_norm": "attn.k_norm",
}
_LINEARS = {
    **{f"self_attn.{name}_proj": f"attn.{name}" for name in "qkvo"},
    **{"mlp.gate_proj": "mlp.gate", "mlp.up_proj": "mlp.inner"},
    "mlp.down_proj": "mlp.outer",
}


def _rules(prefix: str) -> Iterator[Rule]:
    yield Rule(f"{prefix}embed_tokens.weight", "embedding.table")
    yield Rule(f"{prefix}norm.weight", "norm.scale", ONE_MORE)
    layer = f"{prefix}layers.{{layer}}"
    for published, here in _NORMS.items():
        yield Rule(f"{layer}.{published}.weight", f"layers.{here}.scale", ONE_MORE)
    for published, here in _LINEARS.items():
        yield Rule(f"{layer}.{published}.weight", f"layers.{here}.kernel", LINEAR)


RULES: Sequence[Rule] = tuple(rule for prefix in PREFIXES for rule in _rules(prefix))
# Tensors of the multimodal model that the text encoder does not use.
UNUSED = (".vision_tower.", ".multi_modal_projector.", ".lm_head.")
REQUIRED = {
    **{"hidden_activation": "gelu_pytorch_tanh", "attention_bias": False},
    **{"attn_logit_softcapping": None, "use_bidirectional_attention": False},
}


def config(source: dict, dtype: str) -> GemmaConfig:
    """Our config from transformers' text_encoder/config.json.

    Google's own files leave out fields that have the defaults of `Gemma3TextConfig`.

    Raises:
        ValueError: for a model that is no supported Gemma 3.
    """
    text = source.get("text_config", source)
    kind = text.get("model_type")
    if kind != "gemma3_text":
        raise ValueError(f"the text encoder is a {kind!r}; supported is 'gemma3_text'")
    for key, expected in REQUIRED.items():
        value = text.get(key, expected)
        if value != expected:
            raise ValueError(
                f"the text encoder has {key}={value!r}; supported is {expected!r}"
            )
    local, global_ = _positions(text)
    made = GemmaConfig(
        width=text["hidden_size"],
        depth=text["num_hidden_layers"],
        heads=text["num_attention_heads"],
        key_heads=text["num_key_value_heads"],
        head_width=text.get("head_dim", 256),
        mlp_width=text["intermediate_size"],
        vocab=text.get("vocab_size", 262_208),
        window=text["sliding_window"],
        pattern=text.get("_sliding_window_pattern")
        or text.get("sliding_window_pattern", 6),
        local_period=float(local["rope_theta"]),
        period=float(global_["rope_theta"]),
        stretch=float(global_.get("factor", 1.0)),
        query_scale=float(text.get("query_pre_attn_scalar", 256)),
        epsilon=text.get("rms_norm_eps", 1e-6),
        dtype=dtype,
    )
    kinds = text.get("layer_types")
    ours = ["full_attention" if x else "sliding_attention" for x in made.is_global]
    if kinds is not None and list(kinds) != ours:
        raise ValueError(
            f"the text encoder has layer_types={kinds}; supported is every "
            f"{made.pattern}th layer of full attention"
        )
    return made


def _positions(text: dict) -> tuple[dict, dict]:
    """The settings of rotary positions for local layers and for global layers.

    Newer and older config files name these fields differently.
    """
    newer = text.get("rope_parameters")
    if newer is not None and "full_attention" in newer:
        local, global_ = newer["sliding_attention"], newer["full_attention"]
    else:
        local = {"rope_theta": text.get("rope_local_base_freq", 10_000.0)}
        scaling = text.get("rope_scaling") or {}
        global_ = {"rope_theta": text.get("rope_theta", 1_000_000.0), **scaling}
    for entry, kinds in ((local, ("default",)), (global_, ("default", "linear"))):
        kind = entry.get("rope_type", "default")
        if kind not in kinds:
            raise ValueError(
                f"the text encoder has positions of the kind {kind!r}; supported is "
                f"{' or '.join(kinds)}"
            )
    return local, global_
