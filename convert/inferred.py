"""Infers the config.json that a single file lacks from its tensors' names and shapes.

Each function takes the tensors of a part with the names of one layout, and returns the
fields that this layout's `config` function reads.
"""

from collections.abc import Mapping
from typing import Any

from convert.rules import indices
from convert.tensors import SourceTensor

Tensors = Mapping[str, SourceTensor]

# The head width of every published Wan; no tensor shape reveals it.
HEAD_WIDTH = 128


def transformer(tensors: Tensors) -> dict[str, Any]:
    """The config of a Wan transformer under its original names."""
    patch = _shape(tensors, "patch_embedding.weight")
    width = patch[0]
    picture = tensors.get("img_emb.proj.0.weight")
    places = tensors.get("img_emb.emb_pos")
    cells = patch[2] * patch[3] * patch[4]
    return {
        "dim": width,
        "num_heads": width // HEAD_WIDTH,
        "num_layers": count(tensors, "blocks.{layer}.self_attn.q.weight"),
        "ffn_dim": _shape(tensors, "blocks.0.ffn.0.weight")[0],
        "freq_dim": _shape(tensors, "time_embedding.0.weight")[1],
        "in_dim": patch[1],
        "out_dim": _shape(tensors, "head.head.weight")[0] // cells,
        "text_dim": _shape(tensors, "text_embedding.0.weight")[1],
        "text_len": 512,
        "image_dim": None if picture is None else picture.shape[0],
        "image_positions": None if places is None else places.shape[1],
        "eps": 1e-6,
    }


def diffusers_transformer(tensors: Tensors) -> dict[str, Any]:
    """The config of a Wan transformer under diffusers' names."""
    patch = _shape(tensors, "patch_embedding.weight")
    embedder = "condition_embedder"
    picture = tensors.get(f"{embedder}.image_embedder.norm1.weight")
    places = tensors.get(f"{embedder}.image_embedder.pos_embed")
    cells = patch[2] * patch[3] * patch[4]
    return {
        "num_attention_heads": patch[0] // HEAD_WIDTH,
        "attention_head_dim": HEAD_WIDTH,
        "num_layers": count(tensors, "blocks.{layer}.attn1.to_q.weight"),
        "ffn_dim": _shape(tensors, "blocks.0.ffn.net.0.proj.weight")[0],
        "freq_dim": _shape(tensors, f"{embedder}.time_embedder.linear_1.weight")[1],
        "in_channels": patch[1],
        "out_channels": _shape(tensors, "proj_out.weight")[0] // cells,
        "text_dim": _shape(tensors, f"{embedder}.text_embedder.linear_1.weight")[1],
        "image_dim": None if picture is None else picture.shape[0],
        "pos_embed_seq_len": None if places is None else places.shape[1],
        "patch_size": patch[2:],
        "cross_attn_norm": "blocks.0.norm2.weight" in tensors,
        "eps": 1e-6,
    }


def vae(tensors: Tensors) -> dict[str, Any]:
    """The widths of a Wan VAE under its original names, and whether it is Wan 2.2's."""
    widths = {
        "base_dim": _shape(tensors, "encoder.conv1.weight")[0],
        "decoder_base_dim": _shape(tensors, "decoder.head.0.gamma")[0],
    }
    newer = "encoder.downsamples.0.downsamples.0.residual.0.gamma" in tensors
    return widths | {"is_residual": newer}


def text_encoder(tensors: Tensors) -> dict[str, Any]:
    """The config of umT5 under its original names."""
    table = _shape(tensors, "token_embedding.weight")
    heads = _shape(tensors, "blocks.0.pos_embedding.embedding.weight")[1]
    return {
        "vocab": table[0],
        "width": table[1],
        "depth": count(tensors, "blocks.{layer}.attn.q.weight"),
        "heads": heads,
        "head_width": _shape(tensors, "blocks.0.attn.q.weight")[0] // heads,
        "mlp_width": _shape(tensors, "blocks.0.ffn.fc1.weight")[0],
    }


def transformers_text_encoder(tensors: Tensors) -> dict[str, Any]:
    """The config of a T5 or UMT5 encoder under the names of transformers."""
    block, attention = "encoder.block.0.layer", "SelfAttention"
    bias = f"{attention}.relative_attention_bias.weight"
    table = _shape(tensors, "shared.weight")
    buckets, heads = _shape(tensors, f"{block}.0.{bias}")
    query = f"{block}.0.{attention}.q.weight"
    # T5 has one bias for all layers. A model of one layer counts as UMT5.
    depth = count(tensors, "encoder.block.{layer}.layer.0.layer_norm.weight")
    every = depth == 1 or f"encoder.block.1.layer.0.{bias}" in tensors
    return {
        "model_type": "umt5" if every else "t5",
        "feed_forward_proj": "gated-gelu",
        "d_model": table[1],
        "vocab_size": table[0],
        "num_layers": depth,
        "num_heads": heads,
        "d_kv": _shape(tensors, query)[0] // heads,
        "d_ff": _shape(tensors, f"{block}.1.DenseReluDense.wi_0.weight")[0],
        "relative_attention_num_buckets": buckets,
        "relative_attention_max_distance": 128,
        "layer_norm_epsilon": 1e-6,
    }


def image_encoder(tensors: Tensors) -> dict[str, Any]:
    """The config of Wan 2.1 I2V's CLIP image encoder (ViT-H, heads of width 80)."""
    width, _, patch, _ = _shape(tensors, "embeddings.patch_embedding.weight")
    tokens = _shape(tensors, "embeddings.position_embedding.weight")[0]
    return {
        "model_type": "clip_vision_model",
        "hidden_size": width,
        "num_hidden_layers": count(tensors, "encoder.layers.{layer}.mlp.fc1.weight"),
        "num_attention_heads": width // 80,
        "intermediate_size": _shape(tensors, "encoder.layers.0.mlp.fc1.weight")[0],
        "image_size": patch * round((tokens - 1) ** 0.5),
        "patch_size": patch,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
    }


def count(tensors: Tensors, template: str) -> int:
    """The number of tensors whose names fit a template, which is one per layer."""
    return sum(indices(template, name) is not None for name in tensors)


def _shape(tensors: Tensors, name: str) -> tuple[int, ...]:
    if name not in tensors:
        raise ValueError(
            f"{name} is missing, which tells a size of the model: the file is "
            "incomplete, or of another model"
        )
    return tensors[name].shape
