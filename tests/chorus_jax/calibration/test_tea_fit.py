"""TeaCache's fit: a polynomial per expert, from the steps that have one before them."""

import numpy as np
import pytest

from chorus_jax.calibration.tea_fit import (
    DEGREE,
    ChangeRecord,
    changes_of,
    polynomials_of,
)
from chorus_jax.denoise.state import RunState

STEPS, SWITCH, ROWS = 20, 8, 2
FIRST, SECOND = (3.0, -2.0, 1.0, 0.5, 0.1), (-1.0, 0.0, 2.0, 0.25, 0.0)


def recorded(seed, polynomials, switch=0):
    """The changes of a run whose residuals change as the polynomials foresee."""
    ranges = [(0, switch), (switch, STEPS)] if switch else [(0, STEPS)]
    rng, caches = np.random.default_rng(seed), []
    for polynomial, (first, last) in zip(polynomials, ranges, strict=True):
        changes = np.zeros((ROWS, STEPS, 2))
        signal = rng.uniform(0.1, 2.0, (ROWS, last - first))
        changes[:, first:last, 0] = signal
        changes[:, first:last, 1] = np.polyval(polynomial, signal)
        changes[:, first] = 1e9  # without a step before
        caches.append(ChangeRecord(np.zeros(ROWS), None, changes))
    empty = RunState(*(None,) * len(RunState._fields))
    return changes_of(empty._replace(caches=tuple(caches)))


def test_one_transformer_has_one_polynomial():
    runs = [recorded(seed, [FIRST]) for seed in range(3)]
    np.testing.assert_allclose(polynomials_of(runs), [FIRST], atol=1e-6)


def test_each_expert_has_the_polynomial_of_its_own_steps():
    """Neither the other expert's steps count, nor the first step of either."""
    runs = [recorded(seed, [FIRST, SECOND], SWITCH) for seed in range(3)]
    fitted = polynomials_of(runs, SWITCH)
    np.testing.assert_allclose(fitted, [FIRST, SECOND], atol=1e-6)


@pytest.mark.parametrize(("switch", "terms"), [(1, 1), (2, 1), (4, 3), (STEPS - 1, 5)])
def test_an_expert_of_few_steps_has_a_polynomial_of_few_terms(switch, terms):
    runs = [recorded(seed, [FIRST, SECOND], switch) for seed in range(3)]
    first, second = polynomials_of(runs, switch)
    assert len(first) == terms and np.isfinite([*first, *second]).all()
    assert len(second) == min(max(STEPS - switch - 1, 1), DEGREE + 1)
    if switch == 1:
        assert first == (0.0,)
