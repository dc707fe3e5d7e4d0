"""Wan in the registry; the attention that is reported is the one that runs."""

from dataclasses import replace

import pytest

from chorus_jax.devices import sharding
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.describing import attention_lines
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.request import Request
from kernels_pallas import dispatch

WAN = WanConfig.t2v_1_3b()


@pytest.fixture
def on(monkeypatch):
    """A function that pretends to be on a device."""

    def pretend(platform, kind):
        monkeypatch.setattr(dispatch, "device", lambda: (platform, kind))
        monkeypatch.setattr(sharding, "platform", lambda: platform)

    return pretend


def test_prompts_are_cleaned(weights):
    request = Request(" a  “red”\ncircle &amp; left", "blue\t\tsquare", seed=0)
    tokens = Pipeline.load(weights).model.tokens([request])
    assert tokens.texts == ('a "red" circle & left', "blue square")


def test_a_tpu_has_its_kernels(on):
    on("tpu", "TPU v5")
    assert dict(attention_lines(WAN)) == {
        "self-attention": "splash (tpu, bfloat16; the tpu's own kernel)",
        "region-attention": "splash (tpu, bfloat16; splash on the same queries takes "
        "fewer cycles)",
        "cross-attention": "amplified_cross_attention 'tpu' (tpu, bfloat16; faster "
        "than chunked, which writes its logits)",
        "over a mesh": "Ulysses where context x tensor is 2, 3, 4, 6, 12, else ring "
        "attention",
    }


def test_a_gpu_has_its_kernels(on):
    on("gpu", "NVIDIA H100")
    lines = dict(attention_lines(WAN))
    assert lines["self-attention"].startswith("cudnn (gpu, bfloat16; ")
    assert lines["region-attention"].startswith("cudnn (gpu, bfloat16; ")
    assert lines["cross-attention"].startswith("amplified_cross_attention 'gpu' ")


def test_a_cpu_has_the_plain_path():
    lines = {line for name, line in attention_lines(WAN) if name.endswith("attention")}
    assert lines == {"chunked (cpu, bfloat16; no kernel runs on a cpu)"}


def test_a_refusal_is_told(on):
    on("gpu", "NVIDIA H100")
    lines = dict(attention_lines(replace(WAN, head_width=48)))
    assert lines["cross-attention"].startswith(
        "chunked (gpu, bfloat16; 'gpu' refuses heads of width 48"
    )
