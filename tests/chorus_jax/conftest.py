"""A tiny Wan with random weights, and the same in diffusers where that is installed."""

import pytest

WORDS = "a red circle moves left on gray background the of blue square still".split()
SCHEDULER = {
    "_class_name": "UniPCMultistepScheduler",
    "num_train_timesteps": 1000,
    "solver_order": 2,
    "solver_type": "bh2",
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "flow_shift": 5.0,
}


def tiny_configs():
    from chorus_jax.families.wan.config import WanConfig
    from chorus_jax.families.wan.vae_config import WanVAEConfig
    from chorus_jax.nets.t5 import T5Config

    return {
        "transformer": WanConfig(
            heads=2,
            depth=2,
            mlp_width=48,
            head_width=12,
            in_channels=4,
            out_channels=4,
            text_width=16,
            time_width=32,
            dtype="float32",
        ),
        "vae": WanVAEConfig(
            width=8,
            multipliers=(1, 2, 2),
            depth=1,
            halve_time=(True, True),
            latents_mean=(0.1, -0.2, 0.0, 0.3),
            latents_std=(0.8, 1.1, 0.9, 1.2),
            dtype="float32",
        ),
        "text_encoder": T5Config(
            width=16,
            depth=2,
            heads=2,
            mlp_width=24,
            vocab=len(WORDS) + 3,
            head_width=8,
            dtype="float32",
        ),
    }


def random_part(model, config):
    """A module in which nothing is zero or one: those would hide what they multiply."""
    import jax
    import numpy as np
    from flax import nnx

    rng = np.random.default_rng(0)
    noise = lambda x: x + 0.02 * rng.standard_normal(x.shape).astype(x.dtype)
    return jax.tree.map(noise, model(config, rngs=nnx.Rngs(0)))


@pytest.fixture(scope="session")
def word_tokenizer():
    """A tokenizer of a few words."""
    return make_tokenizer()


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A checkpoint folder of the tiny Wan, in float32."""
    from chorus_jax.families.wan.parts import PARTS
    from chorus_jax.training.assemble import write_model

    folder = tmp_path_factory.mktemp("weights")
    make_tokenizer().save_pretrained(folder / "tokenizer")
    configs = tiny_configs()
    parts = {name: random_part(PARTS[name][0], configs[name]) for name in PARTS}
    write_model(folder / "tiny", parts, folder / "tokenizer", SCHEDULER)
    return folder / "tiny"


@pytest.fixture(scope="session")
def diffusers_pipeline(weights, tmp_path_factory):
    """diffusers' WanPipeline with those weights."""
    import torch
    from diffusers import WanPipeline

    from convert.__main__ import main

    folder = tmp_path_factory.mktemp("exported") / "tiny"
    assert main(["export", str(weights), str(folder)]) == 0
    loaded = WanPipeline.from_pretrained(
        folder, local_files_only=True, torch_dtype=torch.float32
    )
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="session")
def two_transformers(weights, tmp_path_factory):
    """The same weights with another transformer beside theirs."""
    import jax

    from chorus_jax import checkpoints
    from chorus_jax.families.wan.parts import PARTS
    from chorus_jax.training.assemble import write_model

    parts = {name: checkpoints.load(weights, name, *PARTS[name]) for name in PARTS}
    parts["transformer_4step"] = jax.tree.map(lambda x: 1.1 * x, parts["transformer"])
    folder = tmp_path_factory.mktemp("shipped") / "shapes"
    write_model(folder, parts, weights / "tokenizer")
    return folder


@pytest.fixture
def shipped_weights(two_transformers, monkeypatch):
    """Those two transformers in the place of the shipped weights."""
    from chorus_jax.checkpoints import shipped

    monkeypatch.setattr(shipped, "ROOT", two_transformers.parent)
    return two_transformers


def make_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )
