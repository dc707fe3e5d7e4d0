"""The CLIP text tower against transformers', tiny and at full size."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import CLIPTextConfig as TheirConfig
from transformers import CLIPTextModelWithProjection

from chorus_jax import checkpoints
from chorus_jax.nets.clip import CLIPTextConfig, CLIPTextEncoder, end_of_text
from convert import clip
from convert.plan import make_plan

TINY = {
    "vocab_size": 40,
    "hidden_size": 24,
    "intermediate_size": 36,
    "projection_dim": 10,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 19,
    "bos_token_id": 38,
    "eos_token_id": 39,
}
VARIANTS = {
    "quick gelu": {},
    "gelu": {"hidden_act": "gelu"},
    "legacy eos": {"eos_token_id": 2},
    "odd": {"num_attention_heads": 3, "hidden_size": 15, "layer_norm_eps": 1e-2},
}


def relative(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def reference(**changes):
    torch.manual_seed(0)
    theirs = CLIPTextModelWithProjection(TheirConfig(**{**TINY, **changes})).eval()
    for parameter in theirs.parameters():
        # Fresh norms are all ones and fresh biases zeros: they would hide a mix-up.
        parameter.data += 0.2 * torch.randn_like(parameter)
    return theirs


def config_of(theirs, dtype="float32"):
    return clip.config(theirs.config.to_dict(), dtype)


def words(lengths, m, eos=39):
    """Words, the end token, and padding with that same token, as CLIP has it."""
    ids = np.random.default_rng(0).integers(3, 38, (len(lengths), m))
    mask = np.arange(m) < np.array(lengths)[:, None]
    ids = np.where(np.arange(m) < np.array(lengths)[:, None] - 1, ids, eos)
    return ids.astype(np.int32), mask


@jax.jit
def forward(model, ids, mask):
    return model(ids, mask)


def errors(changes, batch, converted):
    theirs = reference(**changes)
    model = converted(CLIPTextEncoder, config_of(theirs), clip.DIFFUSERS, theirs)
    ids, mask = batch
    want = theirs(torch.tensor(ids), torch.tensor(mask).long())
    hidden, projected = forward(model, ids, mask)
    return max(
        relative(hidden, want.last_hidden_state), relative(projected, want.text_embeds)
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_transformers(variant, converted):
    assert errors(VARIANTS[variant], words([3, 12], 13), converted) <= 1e-5


@pytest.mark.parametrize(
    "lengths, m", [([19, 19], 19), ([9, 1], 11), ([1], 1)], ids=str
)
def test_equals_transformers_at_any_length(lengths, m, converted):
    assert errors({}, words(lengths, m), converted) <= 1e-5


@pytest.mark.parametrize("eos", [2, 39, 7])
def test_pools_where_transformers_does(eos, converted):
    theirs = reference(eos_token_id=eos)
    model = converted(CLIPTextEncoder, config_of(theirs), clip.DIFFUSERS, theirs)
    # The end token after larger ids, twice, and not at all.
    ids = np.array([[38, 7, 39, 5, 7], [3, 7, 7, 39, 39], [5, 4, 3, 6, 8]], np.int32)
    mask = np.ones(ids.shape, bool)
    want = theirs(torch.tensor(ids), torch.tensor(mask).long()).text_embeds
    assert relative(forward(model, ids, mask)[1], want) <= 1e-5


def test_end_of_text_is_the_first_or_the_largest():
    ids = jnp.array([[38, 7, 39, 5, 7], [5, 4, 3, 6, 8]])
    assert end_of_text(ids, 7).tolist() == [1, 0]
    assert end_of_text(ids, 2).tolist() == [2, 4]


def test_unit_embedding_has_norm_one_and_the_direction_of_the_projection(converted):
    theirs = reference()
    config = config_of(theirs, "bfloat16")
    model = converted(CLIPTextEncoder, config, clip.DIFFUSERS, theirs)
    ids, mask = words([5, 9], 9)
    unit = jax.jit(CLIPTextEncoder.unit_embedding)(model, ids, mask)
    projected = theirs(torch.tensor(ids), torch.tensor(mask).long()).text_embeds
    assert unit.dtype == jnp.float32
    np.testing.assert_allclose(jnp.linalg.norm(unit, axis=-1), 1, rtol=1e-6)
    want = torch.nn.functional.normalize(projected)
    assert relative(unit, want) < 0.05


def test_later_words_change_nothing_before_them(converted):
    theirs = reference()
    model = converted(CLIPTextEncoder, config_of(theirs), clip.DIFFUSERS, theirs)
    ids, mask = words([9], 9)
    changed = ids.copy()
    changed[:, 5:] = 3
    before, after = (forward(model, x, mask)[0] for x in (ids, changed))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert not np.array_equal(before[:, 5], after[:, 5])


def test_full_size_has_the_published_names_and_shapes(capsys):
    with torch.device("meta"):
        theirs = reference(
            vocab_size=49408,
            hidden_size=768,
            intermediate_size=3072,
            projection_dim=768,
            num_hidden_layers=12,
            num_attention_heads=12,
            max_position_embeddings=77,
            eos_token_id=49407,
        )
    assert config_of(theirs, "bfloat16") == CLIPTextConfig.vit_l_14()
    tensors = {
        name: SimpleNamespace(
            name=name, shape=tuple(x.shape), dtype=np.dtype("float32")
        )
        for name, x in theirs.state_dict().items()
    }
    abstract = checkpoints.abstract(CLIPTextEncoder, CLIPTextConfig.vit_l_14())
    plan = make_plan("clip", clip.DIFFUSERS, tensors, checkpoints.names(abstract))
    assert not plan.problems
    count = sum(x.size for x in jax.tree.leaves(abstract))
    assert count == sum(x.numel() for x in theirs.parameters())
    with capsys.disabled():
        print(f" CLIP ViT-L/14 text: {count:,} parameters", end=" ")


def test_refusals_name_what_came():
    sizes = {"width": 8, "depth": 1, "mlp_width": 8, "projection_width": 8, "vocab": 9}
    with pytest.raises(ValueError, match="activation='relu'"):
        CLIPTextConfig(**sizes, heads=1, activation="relu")
    with pytest.raises(ValueError, match="heads=3"):
        CLIPTextConfig(**sizes, heads=3)
    config = CLIPTextConfig(**sizes, heads=1, positions=5)
    model = checkpoints.abstract(CLIPTextEncoder, config)
    with pytest.raises(ValueError, match="6 tokens are more than limit=5"):
        model(jnp.zeros((1, 6), int), jnp.ones((1, 6), bool))
    source = TheirConfig(**TINY).to_dict()
    with pytest.raises(ValueError, match="'clip'"):
        clip.config({**source, "model_type": "clip"}, "float32")
    with pytest.raises(ValueError, match=r"\[1, 2\]"):
        clip.config({**source, "eos_token_id": [1, 2]}, "float32")
