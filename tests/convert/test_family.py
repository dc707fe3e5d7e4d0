"""The published models fit the tables: full-size names and shapes, no memory."""

from pathlib import Path

import numpy as np
import pytest

from chorus_jax.checkpoints import abstract, names
from chorus_jax.families.wan.config import WanConfig
from convert.family import WAN
from convert.plan import make_plan
from convert.source import DIFFUSERS, ORIGINAL
from convert.tensors import Tensor

# The names of the original transformer, from Wan-Video/Wan2.1, wan/modules/model.py.
RENAMED = {
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.image_embedder.norm1": "img_emb.proj.0",
    "condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
    "condition_embedder.image_embedder.ff.net.2": "img_emb.proj.3",
    "condition_embedder.image_embedder.norm2": "img_emb.proj.4",
    "proj_out": "head.head",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "attn1": "self_attn",
    "attn2": "cross_attn",
    "add_k_proj": "k_img",
    "add_v_proj": "v_img",
    "norm_added_k": "norm_k_img",
    "to_out.0": "o",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "norm2": "norm3",
}


def original_name(name):
    for theirs, ours in RENAMED.items():
        name = name.replace(theirs, ours)
    head = name.replace("scale_shift_table", "modulation")
    return f"head.{head}" if name == "scale_shift_table" else head


def published(model):
    """Names and shapes of a model built without memory."""
    return {
        name: Tensor(name, tuple(value.shape), np.dtype("f4"), Path("x"), 0)
        for name, value in model.state_dict().items()
    }


def transformer(config):
    import torch
    from diffusers import WanTransformer3DModel

    sizes = dict(WAN["transformer"].export(config))
    del sizes["_class_name"]
    with torch.device("meta"):
        return published(WanTransformer3DModel(**sizes))


def fits(part, config, layout, tensors):
    """The number of parameters of a part into which all tensors fit."""
    targets = names(abstract(WAN[part].model, config))
    rules = WAN[part].layouts[layout].rules(config)
    plan = make_plan(part, rules, tensors, targets)
    assert not plan.problems
    count = sum(leaf.size for leaf in targets.values())
    print(f"{part}: {len(tensors)} tensors, {count:,} parameters")
    return count


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (WanConfig.t2v_1_3b(), 1_418_996_800),
        (WanConfig.t2v_14b(), 14_288_491_584),
        (WanConfig(heads=40, depth=40, mlp_width=13824, image_width=1280), None),
    ],
    ids=["1.3B", "14B", "14B with images"],
)
def test_transformer(config, count):
    tensors = transformer(config)
    original = {original_name(name): tensor for name, tensor in tensors.items()}
    found = fits("transformer", config, DIFFUSERS, tensors)
    assert fits("transformer", config, ORIGINAL, original) == found
    assert count in (found, None)


def test_vae():
    import torch
    from diffusers import AutoencoderKLWan

    with torch.device("meta"):
        tensors = published(AutoencoderKLWan())
    config = WAN["vae"].layouts[ORIGINAL].config({}, "float32")
    assert fits("vae", config, DIFFUSERS, tensors) == 126_892_531


def test_text_encoder():
    import torch
    from transformers import UMT5Config, UMT5EncoderModel

    config = WAN["text_encoder"].layouts[ORIGINAL].config({}, "float32")
    sizes = WAN["text_encoder"].export(config)
    with torch.device("meta"):
        tensors = published(UMT5EncoderModel(UMT5Config(**sizes)))
    assert fits("text_encoder", config, DIFFUSERS, tensors) == 5_680_910_336
