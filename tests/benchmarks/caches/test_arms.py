"""The compared step caches: each method at each share of the work."""

from functools import cache

import numpy as np
import pytest

from benchmarks.caches.arms import FEWER, SHARES, arms_at, few, methods
from benchmarks.caches.choosing import setting
from benchmarks.caches.foreseen import Foreseen
from benchmarks.caches.intervals import spent
from benchmarks.caches.thresholds import threshold_at
from chorus_jax.calibration.branch_fit import BranchSimilarity
from chorus_jax.intra_request.mixture import Mixture
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.schedulers import Euler
from chorus_jax.token_budgets.presets import PRESETS

# Similarities of five layers, which change more and more.
CHANGES = np.arange(1.0, 6.0)[:, None, None, None] * np.ones((1, 2, 50, 50))
SIMILARITY = BranchSimilarity(
    np.exp(-CHANGES / 10), CHANGES[..., 0, 0], CHANGES, ("attention", "mlp")
)
FORESEEN = Foreseen(
    np.linspace(0.05, 0.2, 49), (1.0,) + (0.97,) * 49, similarity=SIMILARITY
)


@cache
def arms_of(share):
    """The arms at a share; BAC's search takes seconds."""
    return arms_at(share, 50, FORESEEN)


@pytest.mark.parametrize("share", SHARES)
def test_methods_whose_steps_are_known_compute_the_share(share):
    arms = arms_of(share)
    names = [arm.method for arm in arms]
    assert {"taylor 1, branches", "racer", "spectrum", "foca", "tea"} <= set(names)
    assert ("hsa" in names) == ("hsa, taylor" in names) == (share != 0.35)
    assert names.count("racer") == names.count(FEWER) == 1
    for arm in arms:
        if arm.tokens:
            assert PRESETS[arm.tokens].work == pytest.approx(share, abs=0.05)
        elif isinstance(arm.cache, ScheduledCache) and arm.method != "mag":
            assert sum(arm.cache.computes(50)) / 50 == pytest.approx(share, abs=0.03)
        elif isinstance(arm.cache, Mixture):
            assert spent(arm.cache, 50) / 50 == pytest.approx(share, abs=0.05)
        if arm.steps:
            assert arm.steps / 50 == pytest.approx(share, abs=0.02)


def test_profiling_has_an_arm_where_its_share_is_near():
    schedule = Euler.spaced(50).schedule
    found = {}
    for share in SHARES:
        for arm in arms_of(share):
            if arm.method == "profiling":
                found[share] = arm.cache.table(schedule, 5, ("attention", "mlp")).mean()
                assert f"background={len(arm.cache.background)} l" in setting(arm)
    assert found == pytest.approx({0.75: 0.712, 0.5: 0.568, 0.35: 0.424})


def test_every_method_is_named():
    named = {arm.method for share in SHARES for arm in arms_of(share)}
    named = {name for name in named if not name.startswith(FEWER)}
    assert named < set(methods(50))
    assert {arm.method for arm in few(4)} < set(methods(4))


def test_settings_of_a_method_are_told_apart():
    """Rows of the same name and setting would replace each other."""
    arms = [arm for share in SHARES for arm in arms_of(share)]
    arms = [*dict.fromkeys(arms)]
    assert len({(arm.method, setting(arm)) for arm in arms}) == len(arms)


def test_a_threshold_is_searched_by_its_share():
    trials = []

    def computed(threshold):
        trials.append(threshold)
        return 1 / (1 + 10 * threshold)

    found = threshold_at(computed, 0.01, 1.0, 0.5)
    assert found in trials and computed(found) == pytest.approx(0.5, abs=0.03)
    assert threshold_at(lambda x: 0.9, 0.01, 1.0, 0.5) <= 1.0
