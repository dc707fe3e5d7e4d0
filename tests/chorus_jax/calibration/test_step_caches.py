"""The gate of a step cache's calibration, without a model."""

from dataclasses import replace
from functools import partialmethod

import pytest

from chorus_jax.calibration.cache_methods import METHODS
from chorus_jax.calibration.cache_runs import CacheRuns
from chorus_jax.calibration.full_runs import FullRuns
from chorus_jax.calibration.step_caches import CacheCalibration, ChosenCache, parts
from chorus_jax.engine import Pipeline
from chorus_jax.engine.pipeline import NotFiniteError
from chorus_jax.intra_request import EveryStep
from chorus_jax.intra_request.fitting import reuses_velocities
from chorus_jax.intra_request.qualities import QUALITIES
from chorus_jax.intra_request.shifts import check_shift, shift_of
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.request import Request
from tests.chorus_jax.families.toy.model import ToyModel
from tests.chorus_jax.families.toy.test_seams import asked

PIPELINE = Pipeline(ToyModel())
FULL = FullRuns((), (), 50, 0, 5.0, (), CacheRuns(PIPELINE))


class Figures(CacheCalibration):
    """Settings of an interval n have 40 - 4 n dB and an SSIM of 1 - n / 10."""

    def record(self, method, requests=()):
        return FULL

    def run_judged(self, requests):
        pass

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


@pytest.mark.parametrize(
    ("method", "runs", "records", "states"),
    [("planned", 3, 3, 0), ("planned-tokens", 3, 3, 2), ("sen", 2, 0, 2)]
    + [("harmonica", 0, 0, 0), ("mag", 3, 3, 0)],
)
def test_a_fit_makes_and_keeps_what_it_reads(
    method, runs, records, states, monkeypatch
):
    """A record of all steps can be gigabytes a prompt."""
    made, run = [], CacheRuns.run
    counted = lambda *given: made.append(given) or run(*given)
    monkeypatch.setattr(CacheRuns, "run", counted)
    requests = [asked(steps=8, seed=seed) for seed in range(3)]
    calibration = Figures(PIPELINE, [*requests, asked(steps=8, seed=9)])
    full = CacheCalibration.record(calibration, method, requests)
    assert (len(made), len(full.records), len(full.states)) == (runs, records, states)
    assert [*full.requests] == requests


def test_a_fit_is_judged_on_prompts_that_it_did_not_see():
    """Else the methods that are fitted best to a few prompts would pass."""
    for count in (4, 5, 20):
        every = [Request(f"{n}") for n in range(count)]
        fitted, judged = parts(every, fitted=True)
        assert {*fitted, *judged} == {*every} and len(fitted) + len(judged) == count
        assert 1 <= len(judged) <= count // 3 + 1
        assert parts(every, fitted=False)[1] == every


def test_a_calibration_runs_what_it_is_judged_on():
    requests = [asked(seed=seed, frames=5) for seed in range(4)]
    for method, judged in (("taylor", requests), ("mag", requests[2:3])):
        calibration = CacheCalibration(PIPELINE, requests)
        chosen = calibration.choose(method, 1.0, 0.01)
        assert [request for request, _ in calibration.judged] == judged
        assert chosen.figures["prompts"] == len(judged)


def test_few_prompts_are_told(caplog):
    CacheCalibration(PIPELINE, [Request(f"{n}") for n in range(20)])
    assert not caplog.records
    CacheCalibration(PIPELINE, [Request(f"{n}") for n in range(19)])
    assert "19 prompts are few: 20 to 50 are good" in caplog.text


def test_a_setting_that_saves_nothing_is_none(calibration, monkeypatch):
    """It would pass every gate."""
    measured = Figures.measured

    def whole(self, cache, least=7):
        tried = measured(self, cache)
        saves = cache.interval < least
        return tried if saves else replace(tried, figures={**tried.figures, **FREE})

    FREE = {"computed": 1.0, "psnr": 60.0, "ssim": 1.0}
    monkeypatch.setattr(Figures, "measured", partialmethod(whole, least=4))
    assert calibration.choose("taylor", 10.0, 0.1).cache == TaylorSeer(3, first=3)
    monkeypatch.setattr(Figures, "measured", partialmethod(whole, least=0))
    with pytest.raises(ValueError, match="no setting of taylor saves anything in runs"):
        calibration.choose("taylor", 10.0, 0.1)


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


def test_every_quality_is_a_setting_that_a_calibration_tries():
    tried = METHODS["sea"].settings(FULL)
    assert {*QUALITIES.values()} - {EveryStep()} < {*tried}


def test_settings_that_overflow_are_passed_over(calibration, caplog):
    measured = calibration.measured

    def overflowing(cache):
        if cache.interval > 2:
            raise NotFiniteError("the latents are not finite")
        return measured(cache)

    calibration.measured = overflowing
    chosen = calibration.choose("taylor", 10.0, 0.1)
    assert chosen.cache == TaylorSeer(2, first=3) and "not finite" in caplog.text


def test_overflow_in_all_settings_is_an_error(calibration):
    def overflowing(cache):
        raise NotFiniteError("the latents are not finite")

    calibration.measured = overflowing
    with pytest.raises(
        ValueError, match="no setting of taylor .* gives finite numbers"
    ):
        calibration.choose("taylor", 10.0, 0.1)


def test_a_polynomial_per_expert_is_fitted():
    requests = [asked(seed=seed, frames=5, steps=10) for seed in range(4)]
    calibration = CacheCalibration(PIPELINE, requests)
    full = calibration.record("tea", requests[:2])
    settings = METHODS["tea"].settings(full)
    [(first, second)] = {(x.coefficients, x.second) for x in settings}
    assert len(first) == 4 and len(second) == 4 and first != second  # of four changes
    assert {(x.switch, x.steps) for x in settings} == {(5, 10)}
    computed = calibration.choose("tea", 1.0, 0.01).figures["computed"]
    assert 0.3 <= computed < 1  # the first step of each expert, and the last


@pytest.mark.parametrize("method", ["bac", "profiling"])
def test_a_model_whose_layers_have_no_branches_is_refused(method):
    requests = [asked(seed=seed, frames=5) for seed in range(4)]
    with pytest.raises(ValueError, match="layers have no branches to reuse: choose a"):
        CacheCalibration(PIPELINE, requests).choose(method, 1.0, 0.01)


VELOCITIES = [name for name, method in METHODS.items() if method.velocities]


def test_methods_are_marked_by_what_their_settings_reuse():
    """A file that `chorus generate` refuses is not written."""
    free = ("sea", "dicache", "first-block", "taylor", "foca", "racer", "easy")
    for name in (*free, "hicache", "spectrum"):
        reused = {reuses_velocities(x) for x in METHODS[name].settings(FULL)}
        assert reused == {name in VELOCITIES}, name


@pytest.mark.parametrize("method", VELOCITIES)
def test_velocities_are_not_fitted_to_steps_that_add_noise(method):
    requests = [asked(solver="renoise", frames=5, seed=seed) for seed in range(4)]
    calibration = CacheCalibration(PIPELINE, requests)
    with pytest.raises(ValueError, match="renoise adds new noise.*such as mag or sea"):
        calibration.choose(method, 30.0, 0.9)


@pytest.mark.parametrize("method", ["planned", "planned-tokens", "erta"])
@pytest.mark.parametrize("steps", [2, 3])
def test_few_steps_have_a_setting_or_a_clear_error(method, steps):
    requests = [asked(steps=steps, seed=seed, frames=5) for seed in range(4)]
    calibration = CacheCalibration(PIPELINE, requests)
    try:
        chosen = calibration.choose(method, 1.0, 0.01)
    except ValueError as error:
        assert "give more --steps" in str(error) or "nothing is written" in str(error)
    else:
        assert chosen.figures["computed"] <= 1


@pytest.mark.parametrize(
    ("sigmas", "shift"), [((0.99, 0.98, 0.9), 122.5), ((1.0, 0.75, 0.5, 0.25), 5.0)]
)
def test_the_shift_is_that_of_the_schedule_as_a_run_will_check_it(sigmas, shift):
    """A list of levels, or a shift by tokens, is not the one that the request names."""
    request = Request("x", steps=sigmas, solver="euler")
    schedule = request.make_solver().schedule
    found = shift_of(schedule, request.shift)
    assert found == pytest.approx(shift, rel=0.02)
    check_shift("ratios", found, schedule)


def test_videos_too_short_to_compare_are_refused_before_any_run(calibration):
    calibration.record = lambda *_: pytest.fail("a full run was made")
    calibration.requests = [asked(seed=seed, frames=3) for seed in range(4)]
    with pytest.raises(ValueError, match="from 5 frames on, got 3: give more --frames"):
        calibration.choose("taylor", 30.0, 0.9)
