"""Rules for the CLIP image encoder, with the names of transformers.

Source: huggingface/transformers, models/clip/modeling_clip.py, CLIPVisionModel. From
version 5 on transformers saves the names without the prefix `vision_model.`.
"""

import numpy as np

from chorus_jax.nets.clip_image import CLIPImageConfig
from convert.rules import LINEAR, SAME, Fix, Rule

PREFIXES = ("vision_model.", "")


def rules(config: CLIPImageConfig) -> tuple[Rule, ...]:
    """Rules for the names with the prefix `vision_model.`, then for those without."""
    patch = config.patch

    # torch [c, 3, y, x] <-> ours [(y, x, 3), c]
    def back(x: np.ndarray) -> np.ndarray:
        return x.reshape(patch, patch, 3, -1).transpose(3, 2, 0, 1)

    there = lambda x: x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0])
    return tuple(
        rule for prefix in PREFIXES for rule in _rules(prefix, Fix(there, back))
    )


def _rules(prefix: str, patches: Fix) -> list[Rule]:
    layer = f"{prefix}encoder.layers.{{layer}}"
    table = [
        (f"{prefix}embeddings.class_embedding", "whole", SAME),
        (f"{prefix}embeddings.patch_embedding.weight", "patches.kernel", patches),
        (f"{prefix}embeddings.position_embedding.weight", "positions.table", SAME),
    ]
    for source, target in (
        (f"{prefix}pre_layrnorm", "norm_in"),
        (f"{layer}.layer_norm1", "layers.attn_norm"),
        (f"{layer}.layer_norm2", "layers.mlp_norm"),
        (f"{prefix}post_layernorm", "norm_out"),
    ):
        table.append((f"{source}.weight", f"{target}.scale", SAME))
        table.append((f"{source}.bias", f"{target}.bias", SAME))
    for source, target in (
        ("self_attn.q_proj", "attn.q"),
        ("self_attn.k_proj", "attn.k"),
        ("self_attn.v_proj", "attn.v"),
        ("self_attn.out_proj", "attn.o"),
        ("mlp.fc1", "inner"),
        ("mlp.fc2", "outer"),
    ):
        here = f"layers.{target}"
        table.append((f"{layer}.{source}.weight", f"{here}.kernel", LINEAR))
        table.append((f"{layer}.{source}.bias", f"{here}.bias", SAME))
    return [Rule(*row) for row in table]


def config(source: dict, dtype: str) -> CLIPImageConfig:
    """Our config from the config.json of a CLIPVisionModel.

    Raises:
        ValueError: for another model.
    """
    kind = source.get("model_type")
    if kind != "clip_vision_model":
        raise ValueError(f"the model is a {kind!r}; supported is 'clip_vision_model'")
    return CLIPImageConfig(
        width=source["hidden_size"],
        depth=source["num_hidden_layers"],
        heads=source["num_attention_heads"],
        mlp_width=source["intermediate_size"],
        side=source["image_size"],
        patch=source["patch_size"],
        activation=source["hidden_act"],
        epsilon=source["layer_norm_eps"],
        dtype=dtype,
    )
