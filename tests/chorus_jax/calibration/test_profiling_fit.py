"""ProfilingDiT's fit: stable layers are background, and full steps become frequent."""

import numpy as np
import pytest

from chorus_jax.calibration.branch_fit import BranchSimilarity, measured
from chorus_jax.calibration.profiling_fit import LayerProfile, full_steps
from chorus_jax.denoise.state import RunState
from chorus_jax.intra_request.profiling import FULL, ProfilingDiT
from chorus_jax.schedulers import Euler

NAMES, STEPS = ("self_attention", "mlp"), 50


def similarity(speeds, sizes, switch=0):
    """The similarities in a run whose layers' outputs turn at these speeds, and have
    these sizes. A second expert's outputs are others."""
    i, places = np.arange(STEPS)[:, None, None], np.arange(4)[None, :, None]
    phases = np.asarray(speeds)[:, None, None, None] * i + places + 9.0 * (i >= switch)
    outputs = np.asarray(sizes)[:, None, None, None] * (2.0 + np.sin(phases))
    record = np.moveaxis(outputs, 0, 1)[None]  # [1 steps l k c]
    on = (np.arange(STEPS) < switch)[:, None, None, None]
    parts = [record * on, record * ~on] if switch else [record]
    caches = tuple((part, 0.5 * part) for part in parts)
    state = RunState(*(None,) * len(RunState._fields))._replace(caches=caches)
    return BranchSimilarity.of([measured(state)], NAMES, switch)


SPEEDS, SIZES = (0.3, 0.02, 0.2, 0.05, 0.1, 0.01), (1.0, 100.0, 0.01, 1.0, 10.0, 0.1)
ORDER = (5, 1, 3, 4, 2, 0)


@pytest.mark.parametrize("sizes", [SIZES, SIZES[::-1], (1.0,) * 6])
def test_layers_are_ordered_by_their_relative_change(sizes):
    """Whatever the sizes of their outputs."""
    assert LayerProfile.of(similarity(SPEEDS, sizes)).order == ORDER


@pytest.mark.parametrize("switch", [17, 30, 41])
def test_a_second_expert_changes_no_order_and_begins_in_full(switch):
    profile = LayerProfile.of(similarity(SPEEDS, SIZES, switch))
    assert profile.order == ORDER and switch in profile.full


def test_settings_go_from_bold_to_careful():
    settings = [*LayerProfile.of(similarity(SPEEDS, SIZES)).settings()]
    background = [(1, 3, 4, 5), (1, 3, 5), (1, 5)]
    assert settings == [ProfilingDiT(x, FULL, 6, STEPS) for x in background]


@pytest.mark.parametrize("switch", [0, 30])
def test_the_computed_share_is_that_of_the_table(switch):
    profile, schedule = (
        LayerProfile.of(similarity(SPEEDS, SIZES, switch)),
        Euler.spaced(STEPS).schedule,
    )
    for count in range(7):
        table = profile.setting(count).table(schedule, len(SPEEDS), NAMES)
        assert profile.computed(count) == pytest.approx(table.mean())


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 12, 25, 30, 40, 50, 100])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.65])
def test_full_steps_are_rising_steps_of_the_run(steps, share):
    switch = int(share * steps)
    first, full = full_steps(steps, switch)
    whole = [*range(first), *full]
    assert whole == sorted(set(whole)) and whole[-1] < steps and switch in whole
    # The gaps shrink towards the end, but for rounding.
    gaps = np.diff(full_steps(steps)[1])
    assert (np.diff(gaps) <= 1).all()


def test_at_the_authors_steps_the_list_is_theirs():
    assert full_steps(STEPS) == (6, FULL)


def test_runs_whose_steps_are_all_full_have_no_setting():
    order = tuple(range(6))
    assert not [*LayerProfile(order, *full_steps(4), 4).settings()]
    # Of few layers, shares of them may be equal, or none.
    assert len([*LayerProfile((1, 0), *full_steps(12), 12).settings()]) == 1
