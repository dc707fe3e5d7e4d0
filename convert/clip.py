"""Rules for the CLIP text encoder, with the names of transformers.

Source: huggingface/transformers, models/clip/modeling_clip.py,
CLIPTextModelWithProjection.
"""

from chorus_jax.nets.clip import CLIPTextConfig
from convert.rules import LINEAR, Rule

_LAYER = "text_model.encoder.layers.{layer}"


def _linear(source: str, target: str) -> tuple[Rule, Rule]:
    return (
        Rule(f"{_LAYER}.{source}.weight", f"layers.{target}.kernel", LINEAR),
        Rule(f"{_LAYER}.{source}.bias", f"layers.{target}.bias"),
    )


def _norm(source: str, target: str) -> tuple[Rule, Rule]:
    return (
        Rule(f"{source}.weight", f"{target}.scale"),
        Rule(f"{source}.bias", f"{target}.bias"),
    )


DIFFUSERS = (
    Rule("text_model.embeddings.token_embedding.weight", "tokens.table"),
    Rule("text_model.embeddings.position_embedding.weight", "positions.table"),
    *_norm(f"{_LAYER}.layer_norm1", "layers.attn_norm"),
    *_linear("self_attn.q_proj", "attn.q"),
    *_linear("self_attn.k_proj", "attn.k"),
    *_linear("self_attn.v_proj", "attn.v"),
    *_linear("self_attn.out_proj", "attn.o"),
    *_norm(f"{_LAYER}.layer_norm2", "layers.mlp_norm"),
    *_linear("mlp.fc1", "inner"),
    *_linear("mlp.fc2", "outer"),
    *_norm("text_model.final_layer_norm", "norm"),
    Rule("text_projection.weight", "projection.kernel", LINEAR),
)


def config(source: dict, dtype: str) -> CLIPTextConfig:
    """Our config from the config.json of a CLIPTextModelWithProjection.

    Raises:
        ValueError: for another model, or more than one end token.
    """
    kind, eos = source.get("model_type"), source["eos_token_id"]
    if kind != "clip_text_model":
        raise ValueError(f"the model is a {kind!r}; supported is 'clip_text_model'")
    if not isinstance(eos, int):
        raise ValueError(f"eos_token_id is {eos!r}; supported is one number")
    return CLIPTextConfig(
        width=source["hidden_size"],
        depth=source["num_hidden_layers"],
        heads=source["num_attention_heads"],
        mlp_width=source["intermediate_size"],
        projection_width=source["projection_dim"],
        vocab=source["vocab_size"],
        positions=source["max_position_embeddings"],
        eos=eos,
        activation=source["hidden_act"],
        epsilon=source["layer_norm_eps"],
        dtype=dtype,
    )
