"""The gate of a step cache's calibration, without a model."""

import pytest

from chorus_jax.calibration.cache_methods import METHODS
from chorus_jax.calibration.cache_runs import CacheRuns
from chorus_jax.calibration.full_runs import FullRuns
from chorus_jax.calibration.step_caches import CacheCalibration, ChosenCache
from chorus_jax.engine import Pipeline
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.request import Request
from tests.chorus_jax.families.toy.model import ToyModel

PIPELINE = Pipeline(ToyModel())
FULL = FullRuns((), 50, 0, 5.0, (), CacheRuns(PIPELINE))


class Figures(CacheCalibration):
    """Settings of an interval n have 40 - 4 n dB and an SSIM of 1 - n / 10."""

    def record(self, method):
        return FULL

    def measured(self, cache):
        n = cache.interval
        figures = {"psnr": 40.0 - 4 * n, "ssim": 1 - n / 10, "computed": 1 / n}
        return ChosenCache(cache, figures)


@pytest.fixture
def calibration():
    return Figures(PIPELINE, [Request(f"{n}") for n in range(4)])


@pytest.mark.parametrize(
    ("psnr", "ssim", "interval"), [(10, 0.1, 6), (28, 0.1, 3), (10, 0.75, 2)]
)
def test_the_boldest_setting_within_the_gate_is_chosen(
    calibration, psnr, ssim, interval
):
    chosen = calibration.choose("taylor", float(psnr), ssim)
    assert chosen.cache == TaylorSeer(interval, first=3)
    assert chosen.figures["fit_seconds"] >= 0


def test_nothing_is_chosen_below_the_gate(calibration):
    with pytest.raises(ValueError, match="the best has 32.0 dB and 0.800; nothing is"):
        calibration.choose("taylor", 33.0, 0.1)


def test_a_method_that_is_not_measured_is_refused(calibration):
    with pytest.raises(ValueError, match="no settings of 'pab' are measured"):
        calibration.choose("pab", 30.0, 0.9)


def test_ladders_go_from_bold_to_careful():
    for name in ("taylor", "hicache", "foca", "spectrum", "racer"):
        counts = [sum(x.computes(50)) for x in METHODS[name].settings(FULL)]
        assert counts == sorted(counts)
