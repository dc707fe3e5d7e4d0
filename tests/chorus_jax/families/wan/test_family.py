"""Wan as the registry lists it; what is said of attention is what would run."""

from dataclasses import replace

import pytest

from chorus_jax.devices import sharding
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.family import attention_lines
from kernels_pallas import dispatch

WAN = WanConfig.t2v_1_3b()


@pytest.fixture
def on(monkeypatch):
    """A function that pretends to be on a platform."""

    def pretend(platform):
        monkeypatch.setattr(dispatch, "device", lambda: (platform, "some kind"))
        monkeypatch.setattr(sharding, "platform", lambda: platform)

    return pretend


@pytest.mark.parametrize("platform, full", [("tpu", "splash"), ("gpu", "cudnn")])
def test_an_accelerator_has_its_kernels(on, platform, full):
    on(platform)
    assert dict(attention_lines(WAN)) == {
        "self-attention": f"{full} ({platform}, bfloat16)",
        "region-attention": f"masked_region_attention {platform!r} "
        f"({platform}, bfloat16)",
        "cross-attention": f"amplified_cross_attention {platform!r} "
        f"({platform}, bfloat16)",
    }


def test_a_cpu_has_the_plain_path():
    assert {line for _, line in attention_lines(WAN)} == {"chunked (cpu, bfloat16)"}


def test_a_refusal_is_told(on):
    on("gpu")
    lines = dict(attention_lines(replace(WAN, head_width=48)))
    assert lines["cross-attention"].startswith(
        "chunked (gpu, bfloat16; amplified_cross_attention 'gpu' refuses heads of "
        "width 48"
    )
    on("tpu")
    lines = dict(attention_lines(replace(WAN, tile=(8, 16, 16))))
    assert "splash (tpu, bfloat16; " in lines["region-attention"]
    assert "'tpu' refuses tiles of 2048 tokens" in lines["region-attention"]
