"""The T5 encoders against transformers', in both layouts and at full size."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import T5Config as TheirT5Config
from transformers import T5EncoderModel, UMT5Config, UMT5EncoderModel
from transformers.models.umt5.modeling_umt5 import UMT5Attention

from chorus_jax import checkpoints
from chorus_jax.devices import sharding
from chorus_jax.nets.t5 import T5Config, T5Encoder, bucket
from convert import t5
from convert.plan import make_plan

MODELS = {"umt5": (UMT5EncoderModel, UMT5Config), "t5": (T5EncoderModel, TheirT5Config)}
TINY = {
    "vocab_size": 40,
    "d_model": 24,
    "d_kv": 8,
    "d_ff": 36,
    "num_layers": 3,
    "num_heads": 4,
    "feed_forward_proj": "gated-gelu",
}
VARIANTS = {
    "usual": {},
    "odd heads": {"num_heads": 3, "d_kv": 5, "num_layers": 1},
    "near buckets": {
        "relative_attention_num_buckets": 12,
        "relative_attention_max_distance": 20,
    },
    "epsilon": {"layer_norm_epsilon": 1e-2, "d_model": 7},
}
# Names in the original release, wan/modules/t5.py, from those of transformers.
RENAMED = {
    "encoder.block": "blocks",
    "layer.0.layer_norm": "norm1",
    "layer.0.SelfAttention.relative_attention_bias": "pos_embedding.embedding",
    "layer.0.SelfAttention": "attn",
    "layer.1.layer_norm": "norm2",
    "layer.1.DenseReluDense.wi_0": "ffn.gate.0",
    "layer.1.DenseReluDense.wi_1": "ffn.fc1",
    "layer.1.DenseReluDense.wo": "ffn.fc2",
    "encoder.final_layer_norm": "norm",
    "shared": "token_embedding",
}


def relative(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def reference(kind="umt5", **changes):
    torch.manual_seed(0)
    model, config = MODELS[kind]
    theirs = model(config(**{**TINY, **changes})).eval()
    for parameter in theirs.parameters():
        # Fresh norms are all ones: they would hide a mix-up.
        parameter.data += 0.2 * torch.randn_like(parameter)
    return theirs


def config_of(theirs, dtype="float32"):
    return t5.config(theirs.config.to_dict(), dtype)


def words(lengths, m, vocab=40):
    ids = np.random.default_rng(0).integers(2, vocab, (len(lengths), m))
    mask = np.arange(m) < np.array(lengths)[:, None]
    return np.where(mask, ids, 0).astype(np.int32), mask


@jax.jit
def forward(model, ids, mask):
    return model(ids, mask)


def error(kind, changes, batch, converted):
    theirs = reference(kind, **changes)
    model = converted(T5Encoder, config_of(theirs), t5.DIFFUSERS, theirs)
    ids, mask = batch
    want = theirs(torch.tensor(ids), torch.tensor(mask).long()).last_hidden_state
    return relative(forward(model, ids, mask), want)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_transformers(kind, variant, converted):
    assert error(kind, VARIANTS[variant], words([3, 18], 19), converted) <= 1e-5


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    "lengths, m", [([3, 150], 151), ([17, 17], 17), ([1], 1)], ids=str
)
def test_equals_transformers_at_any_length(kind, lengths, m, converted):
    assert error(kind, {}, words(lengths, m), converted) <= 1e-5


@pytest.mark.parametrize(
    "buckets, most", [(32, 128), (16, 64), (12, 50), (20, 77), (64, 128), (4, 8)]
)
def test_buckets_equal_transformers(buckets, most):
    sizes = SimpleNamespace(
        relative_attention_num_buckets=buckets,
        relative_attention_max_distance=most,
        is_decoder=False,
    )
    distances = np.arange(-600, 601)
    want = UMT5Attention._relative_position_bucket(sizes, torch.tensor(distances))
    np.testing.assert_array_equal(bucket(distances, buckets, most), want)


def test_buckets_are_the_worked_case():
    distances = np.array([0, -1, -7, -8, -12, -16, -200, 1])
    assert bucket(distances, 32, 128).tolist() == [0, 1, 7, 8, 9, 10, 15, 17]


def test_original_names_give_the_same_parameters(converted):
    theirs = reference()
    config, state = config_of(theirs), theirs.state_dict()
    del state["encoder.embed_tokens.weight"]
    renamed = {}
    for name, value in state.items():
        for old, new in RENAMED.items():
            name = name.replace(old, new)
        renamed[name] = value
    assert "blocks.2.ffn.gate.0.weight" in renamed
    original = SimpleNamespace(state_dict=lambda: renamed)
    first = converted(T5Encoder, config, t5.DIFFUSERS, theirs)
    second = converted(T5Encoder, config, t5.ORIGINAL, original)
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("kind", MODELS)
def test_full_size_has_the_published_names_and_shapes(kind, capsys):
    config = T5Config.umt5_xxl()
    with torch.device("meta"):
        theirs = reference(
            kind,
            vocab_size=config.vocab,
            d_model=config.width,
            d_kv=config.head_width,
            d_ff=config.mlp_width,
            num_layers=config.depth,
            num_heads=config.heads,
        )
    tensors = {
        name: SimpleNamespace(
            name=name, shape=tuple(x.shape), dtype=np.dtype("float32")
        )
        for name, x in theirs.state_dict().items()
    }
    if kind == "umt5":
        assert config_of(theirs, "bfloat16") == config
    abstract = checkpoints.abstract(T5Encoder, config_of(theirs))
    plan = make_plan(kind, t5.DIFFUSERS, tensors, checkpoints.names(abstract))
    assert not plan.problems
    count = sum(x.size for x in jax.tree.leaves(abstract))
    assert count == sum(x.numel() for x in theirs.parameters())
    with capsys.disabled():
        print(f" {kind}_xxl encoder: {count:,} parameters", end=" ")


def test_sharded_equals_single_device(converted):
    theirs = reference(vocab_size=44)
    model = converted(T5Encoder, config_of(theirs), t5.DIFFUSERS, theirs)
    ids, mask = words([9, 20], 20)
    mesh = sharding.make_mesh(data=2, tensor=4)
    with jax.set_mesh(mesh):
        split = sharding.shard(model, mesh)
        assert not split.layers.mlp.gate.kernel[...].is_fully_replicated
        out = forward(split, ids, mask)
    # The sums over heads and hidden units are split, so rounded in another order.
    assert relative(out, forward(model, ids, mask)) <= 1e-5


def test_bfloat16_keeps_norms_in_float32_and_stays_near(converted):
    theirs = reference()
    low, high = (
        converted(T5Encoder, config_of(theirs, dtype), t5.DIFFUSERS, theirs)
        for dtype in ("bfloat16", "float32")
    )
    for name, x in checkpoints.names(low).items():
        assert x.dtype == (jnp.float32 if "norm" in name else jnp.bfloat16), name
    outputs = [forward(model, *words([5, 9], 9)) for model in (low, high)]
    assert outputs[0].dtype == jnp.bfloat16
    assert relative(outputs[0].astype(jnp.float32), outputs[1]) < 0.05


def test_text_without_words_gives_numbers(converted):
    theirs = reference()
    model = converted(T5Encoder, config_of(theirs), t5.DIFFUSERS, theirs)
    assert jnp.isfinite(forward(model, *words([0, 4], 5))).all()


def test_refusals_name_what_came():
    with pytest.raises(ValueError, match="max_distance=8"):
        T5Config(width=8, depth=1, heads=1, mlp_width=8, vocab=20, max_distance=8)
    with pytest.raises(ValueError, match="'bert'"):
        t5.config({"model_type": "bert"}, "float32")
    with pytest.raises(ValueError, match="'relu'"):
        t5.config({"model_type": "t5", "feed_forward_proj": "relu"}, "float32")
