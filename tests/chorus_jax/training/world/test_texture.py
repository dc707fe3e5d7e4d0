"""The texture: its contrast, its band, its slow change."""

import numpy as np
import pytest

from chorus_jax.training.world.scene import World
from chorus_jax.training.world.texture import CONTRAST, DRIFT, WAVELENGTHS, texture


def grain(seed=0, world=World()):
    return texture(np.random.default_rng(seed), world)


def correlation(a, b):
    return float((a * b).mean() / np.sqrt((a**2).mean() * (b**2).mean()))


def test_contrast_is_exact_and_even_in_time():
    planes = grain()
    assert planes.std() == pytest.approx(CONTRAST, rel=1e-4)
    assert abs(planes.mean()) < 1e-6
    np.testing.assert_allclose(planes.std(axis=(1, 2)), CONTRAST, rtol=0.05)


@pytest.mark.parametrize("world", [World(), World(56, 90, 5)], ids=str)
def test_all_energy_is_in_the_band(world):
    planes = grain(0, world)
    power = abs(np.fft.rfft2(planes)) ** 2
    rates = np.hypot(
        np.fft.fftfreq(world.height)[:, None], np.fft.rfftfreq(world.width)
    )
    longest, shortest = 1 / WAVELENGTHS[1], 1 / WAVELENGTHS[0]
    outside = (rates < longest) | (rates > shortest)
    assert power[:, outside].sum() < 1e-6 * power.sum()


def test_it_changes_slowly_and_is_never_the_same():
    planes = grain()
    assert correlation(planes[:-1], planes[1:]) == pytest.approx(
        np.exp(-(DRIFT**2) / 2), abs=3e-3
    )
    assert 0.2 < correlation(planes[0], planes[-1]) < 0.7
    assert abs(correlation(planes, grain(1))) < 0.1
