"""A tiny Wan pipeline of diffusers, and the same weights converted."""

import pytest

WORDS = "a red circle moves left on gray background the of blue square still".split()


@pytest.fixture(scope="session")
def diffusers_pipeline():
    """diffusers' WanPipeline with random weights, in float32."""
    import torch
    from diffusers import (
        AutoencoderKLWan,
        UniPCMultistepScheduler,
        WanPipeline,
        WanTransformer3DModel,
    )
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    transformer = WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=16,
        freq_dim=32,
        ffn_dim=48,
        num_layers=2,
    )
    vae = AutoencoderKLWan(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        latents_mean=[0.1, -0.2, 0.0, 0.3],
        latents_std=[0.8, 1.1, 0.9, 1.2],
    )
    text_encoder = UMT5EncoderModel(
        UMT5Config(
            vocab_size=len(tokenizer),
            d_model=16,
            d_kv=8,
            d_ff=24,
            num_layers=2,
            num_heads=2,
        )
    )
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
    )
    return WanPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder.eval(),
        vae=vae.eval(),
        scheduler=scheduler,
        transformer=transformer.eval(),
    )


@pytest.fixture(scope="session")
def word_tokenizer():
    """A tokenizer of a few words."""
    return make_tokenizer()


@pytest.fixture(scope="session")
def weights(diffusers_pipeline, tmp_path_factory):
    """The pipeline's weights converted, in float32."""
    from convert.__main__ import main

    folder = tmp_path_factory.mktemp("weights")
    diffusers_pipeline.save_pretrained(folder / "source")
    source, out = str(folder / "source"), str(folder / "converted")
    assert main(["wan", source, out, "--dtype", "float32"]) == 0
    return folder / "converted"


@pytest.fixture(scope="session")
def two_transformers(weights, tmp_path_factory):
    """The same weights with another transformer beside theirs."""
    import jax

    from chorus_jax import checkpoints
    from chorus_jax.families.wan.sizes import PARTS
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
