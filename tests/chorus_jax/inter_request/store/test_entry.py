"""Entries, recipes and secrets."""

from dataclasses import fields, replace

import numpy as np
import pytest

from chorus_jax.inter_request.store import Recipe, Secret

RECIPE = Recipe(
    vae="v",
    transformer="t",
    text_encoder="e",
    dtype="float32",
    solver="euler",
    sigmas=(1.0, 0.5),
    timesteps=(1000.0, 500.0),
    shift=3.0,
    guidance_scale=5.0,
    negative_prompt="",
    frames=8,
    height=32,
    width=48,
)
OTHERS = {
    "sigmas": (1.0, 0.25),
    "timesteps": (999.0, 500.0),
    "shift": 3.5,
    "guidance_scale": 5.5,
    "frames": 9,
    "height": 48,
    "width": 32,
    "experts": ("high", "low"),
    "guidance_scales": (4.0, 3.0),
    "fps": 25.0,
    "perturbed": (1.0, 0.7, 14.0),
    "joint": (7.0, 3.0),
}


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe)])
def test_each_field_decides_the_recipe(name):
    other = replace(RECIPE, **{name: OTHERS.get(name, "other")})
    assert other.digest != RECIPE.digest
    assert len(RECIPE.digest) == 64


def test_whole_numbers_are_the_same_scale():
    # As a caller may write them; annotations are checked in tests only.
    whole = replace(RECIPE)
    object.__setattr__(whole, "guidance_scale", 5)
    object.__setattr__(whole, "sigmas", (1, 0.5))
    assert whole.digest == RECIPE.digest


def test_a_recipe_of_nan_is_refused():
    with pytest.raises(ValueError):
        replace(RECIPE, shift=float("nan")).digest


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"id": "../secret"}, "32 hex digits"),
        ({"created": float("nan")}, "finite"),
        ({"embedding": np.ones(16, np.float32)}, "norm 1, got 4"),
        ({"embedding": np.full(16, np.nan, np.float32)}, "norm 1, got nan"),
        ({"latents": np.full((2, 4, 4, 8), np.inf, np.float32)}, "not finite"),
    ],
)
def test_impossible_entries_are_refused(make, fields, message):
    whole = make(0)
    with pytest.raises(ValueError, match=message):
        replace(whole, **fields)


def test_secret_digests():
    secret, other = Secret(bytes(32)), Secret(bytes(31) + b"1")
    exact = secret.exact("r", "a cat", 1)
    assert exact == Secret(bytes(32)).exact("r", "a cat", 1)
    changed = [
        secret.exact("s", "a cat", 1),
        secret.exact("r", "a cat ", 1),
        secret.exact("r", "a cat", 2),
        other.exact("r", "a cat", 1),
        secret.exact("r", "a cat", 1, "left"),
        secret.exact("r", "a cat", 1, "right"),
    ]
    assert len({exact, *changed}) == 7
    assert secret.for_words != other.for_words
    assert "00" not in repr(secret)


@pytest.mark.parametrize("size", [0, 15, 65])
def test_secrets_of_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=f"16 to 64 random bytes, got {size}"):
        Secret(bytes(size))
