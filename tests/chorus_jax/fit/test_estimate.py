"""The estimate of a denoising step, beside what a TPU's compiler took."""

import pytest

from chorus_jax.families.outlines import made_card
from chorus_jax.families.registry import FAMILIES
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.fit.estimate import (
    LANES,
    LargestOperations,
    estimated,
    padded_bytes,
)
from chorus_jax.fit.run import ReuseOptions, outlined_run, with_inputs
from chorus_jax.nets.t5 import T5Config, T5Encoder
from chorus_jax.request import Request
from chorus_jax.token_budgets import TokenBudgets, TokenGroup

SIZES = {"data": 1, "context": 4, "tensor": 1}
MIB = 2**20
PARTS = TokenBudgets(50, (TokenGroup(0.3, 50), TokenGroup(0.7, 10)))


@pytest.fixture(scope="module")
def outline():
    """A small model with heads of 32, latents of 8 channels and tiles of one token."""
    transformer = WanConfig(
        *(9, 5, 864, 32, 8, 8, 96, 32), patch=(5, 2, 2), tile=(1, 1, 1)
    )
    vae = WanVAEConfig(
        width=16,
        multipliers=(1, 2, 4),
        depth=1,
        halve_time=(True, True),
        latents_mean=(0.0,) * 8,
        latents_std=(1.0,) * 8,
        dtype="bfloat16",
    )
    parts = {
        "transformer": (WanDiT, transformer),
        "vae": (WanVAE, vae),
        "text_encoder": (T5Encoder, T5Config(96, 2, 3, 192, 99, 32)),
    }
    return FAMILIES["wan"].outline(made_card("wan", parts, {}))


def run_of(outline, height, active, tokens):
    size = {"frames": 17, "height": height, "width": height}
    request = Request("", **size, steps=50, solver="euler", shift=3.0, tokens=tokens)
    request = with_inputs(request, outline, False)
    return outlined_run(outline, request, ReuseOptions(active=active), split=4)


# MiB of temporaries for 50 steps of 17 frames of 512x512 on v6e:2x2 with context 4, as
# `fit.answering.compiled_memory` reads them from libtpu 0.0.42.
@pytest.mark.parametrize(
    ("active", "tokens", "compiled"),
    [(0.25, None, 37.6), (None, "hsa-50", 42.1), (None, PARTS, 78.7)],
)
def test_a_step_with_narrow_heads_takes_no_more_than_estimated(
    active, tokens, compiled, outline
):
    run = run_of(outline, 512, active, tokens)
    step = estimated(run, SIZES, LargestOperations(0, 0, 0))["step"]
    assert compiled * MIB <= step.temporary <= 1.6 * compiled * MIB


def test_channels_are_padded(outline):
    run = run_of(outline, 64, None, None)
    assert run.latents.shape == (1, 5, 16, 16, 8)
    assert padded_bytes(run.latents, SIZES) == 5 * 16 * 16 * LANES * 4 // 4
