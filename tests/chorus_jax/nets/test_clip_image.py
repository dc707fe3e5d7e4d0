"""The CLIP image tower against transformers'."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from transformers import CLIPVisionConfig, CLIPVisionModel

from chorus_jax.nets.clip_image import MEAN, STD, CLIPImageConfig, CLIPImageEncoder
from convert import clip_image, diffusers_configs

TINY = dict(
    hidden_size=24,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=40,
    image_size=12,
    patch_size=4,
    hidden_act="gelu",
)


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    model = CLIPVisionModel(CLIPVisionConfig(**TINY)).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def test_the_layer_before_the_last_equals_transformers(theirs, converted):
    config = clip_image.config(theirs.config.to_dict(), "float32")
    model = converted(CLIPImageEncoder, config, clip_image.rules(config), theirs)
    pixels = jax.random.uniform(jax.random.key(0), (2, 12, 12, 3))
    normalised = (np.asarray(pixels) - np.array(MEAN)) / np.array(STD)
    given = torch.tensor(normalised.transpose(0, 3, 1, 2)).float()
    states = theirs(given, output_hidden_states=True).hidden_states
    made = np.asarray(model(pixels))
    want = states[-2].numpy()
    assert made.shape == (2, 10, 24)
    assert np.abs(made - want).max() / np.abs(want).max() <= 1e-5
    assert np.abs(made - states[-1].numpy()).max() > 1e-2


def test_names_and_shapes_are_those_of_the_published_tower():
    config = CLIPImageConfig.vit_h_14()
    with torch.device("meta"):
        sizes = clip_sizes(config)
        theirs = CLIPVisionModel(CLIPVisionConfig(**sizes)).state_dict()
    module = nnx.eval_shape(lambda: CLIPImageEncoder(config, rngs=nnx.Rngs(0)))
    count = sum(x.size for x in jax.tree.leaves(module))
    assert count == sum(x.numel() for name, x in theirs.items() if "ids" not in name)
    assert config.tokens == 257


def clip_sizes(config):
    names = {*TINY, "layer_norm_eps"}
    fields = diffusers_configs.image_encoder(config)
    return {name: fields[name] for name in names}


def test_an_exported_config_is_read_again():
    config = CLIPImageConfig.vit_h_14("float32")
    fields = diffusers_configs.image_encoder(config)
    assert clip_image.config(fields, "float32") == config


def test_refusals():
    with pytest.raises(ValueError, match="'siglip_vision_model'; supported is"):
        clip_image.config({"model_type": "siglip_vision_model"}, "float32")
    with pytest.raises(ValueError, match="side"):
        CLIPImageConfig(8, 2, 2, 8, side=10, patch=4)
    config = CLIPImageConfig(8, 2, 2, 8, side=8, patch=4, dtype="float32")
    model = nnx.eval_shape(lambda: CLIPImageEncoder(config, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="8 x 8"):
        jax.eval_shape(model, jax.ShapeDtypeStruct((1, 4, 8, 3), jnp.float32))
