"""PSNR and SSIM against their definitions."""

import numpy as np
import pytest

from chorus_jax.media.metrics import psnr, ssim
from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.render import render

VIDEO = render(Attributes("red", "circle", "small", "left", "gray"), 0)


def test_equal_videos():
    assert psnr(VIDEO, VIDEO) == float("inf")
    assert ssim(VIDEO, VIDEO) == pytest.approx(1)


def test_psnr_of_a_known_error():
    zeros = np.zeros((5, 48, 48, 3), np.float32)
    assert psnr(zeros, zeros + np.float32(0.2)) == pytest.approx(20, abs=1e-4)


def test_psnr_does_not_mind_the_kind_of_numbers():
    floats = VIDEO.astype(np.float32) / 127.5 - 1
    assert psnr(VIDEO, floats) > 90


def test_ssim_of_flat_videos_compares_their_light():
    dark, light = (np.full((5, 48, 48, 3), x, np.float32) for x in (-0.5, 0.5))
    wanted = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert ssim(dark, light) == pytest.approx(wanted, rel=1e-3)


def test_ssim_falls_with_noise():
    rng = np.random.default_rng(0)
    clean = VIDEO.astype(np.float32) / 127.5 - 1
    levels = [
        ssim(clean + (s * rng.standard_normal(clean.shape)).astype(np.float32), clean)
        for s in (0.02, 0.1, 0.5)
    ]
    assert 1 > levels[0] > levels[1] > levels[2] > 0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one shape"):
        psnr(VIDEO, VIDEO[:9])
