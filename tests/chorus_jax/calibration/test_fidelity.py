"""Fidelity to full runs, its limits, and the journal of runs."""

from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.calibration.fidelity import EQUAL, fidelity, limits_of
from chorus_jax.calibration.fidelity_calibration import check
from chorus_jax.calibration.journal import Journal
from chorus_jax.calibration.losses import losses
from chorus_jax.calibration.record import TargetRecord
from chorus_jax.calibration.verdict import Verdict
from chorus_jax.engine import Ledger
from chorus_jax.request import Request

RNG = np.random.default_rng(0)
VIDEO = RNG.integers(0, 256, (5, 16, 16, 3), np.uint8)


def test_equal_videos_lose_nothing():
    scores = fidelity(VIDEO, VIDEO)
    assert scores == pytest.approx(EQUAL)
    lost = losses([scores], [EQUAL], limits_of(20.0, 0.5))
    assert [loss.mean for loss in lost.values()] == pytest.approx([0, 0], abs=1e-6)


def test_a_loss_reaches_its_limit_at_the_least_fidelity():
    limits = limits_of(20.0, 0.6)
    lost = losses([{"psnr": 20.0, "ssim": 0.6}], [EQUAL], limits)
    assert {name: loss.mean for name, loss in lost.items()} == pytest.approx(
        dict(limits.allowed)
    )


def test_few_hits_of_wide_spread_do_not_hold():
    """40 and 10 dB are 25 in the mean, below 27, however large its error."""
    scores = [{"psnr": psnr, "ssim": 0.9} for psnr in (40.0, 10.0)]
    limits = limits_of(27.0, 0.8)
    lost = losses(scores, [EQUAL, EQUAL], limits)
    assert lost["psnr"].mean - lost["psnr"].error < limits.allowed["psnr"]
    assert not Verdict(10.0, (lost,), limits=limits, pooled=lost).holds


@pytest.mark.parametrize("psnr, ssim", [(0.0, 0.5), (60.0, 0.5), (20.0, 1.0)])
def test_impossible_limits_are_refused(psnr, ssim):
    with pytest.raises(ValueError, match="must be above 0 and below"):
        limits_of(psnr, ssim)


@pytest.mark.parametrize("own", [{"step_cache": "sea"}, {"tokens": "hsa-50"}], ids=str)
def test_requests_that_reuse_work_themselves_are_no_measure(own):
    """Their full runs would not be full, and every policy would run their cache."""
    plain = [Request(f"a cat {i}", frames=5, steps=50) for i in range(16)]
    check(plain)
    with pytest.raises(ValueError, match="leave step_cache and tokens out"):
        check([replace(request, **own) for request in plain])


def test_a_journal_gives_back_what_was_written(tmp_path):
    record = TargetRecord(3, Ledger("semantic", 4, 2.5, 0.9, "a" * 32), {"psnr": 21.0})
    Journal(tmp_path / "runs.jsonl").add(("a", 1), record)
    again = Journal(tmp_path / "runs.jsonl")
    assert again.get(("a", 1), 3) == record and again.get(("a", 2), 3) is None


def test_a_line_cut_by_a_kill_does_not_take_the_next_one_along(tmp_path):
    path, record = tmp_path / "runs.jsonl", TargetRecord(3, Ledger("miss", 4, 2.5), {})
    Journal(path).add("a", record)
    path.write_text(path.read_text()[:-9])
    Journal(path).add("b", record)
    again = Journal(path)
    assert again.get("a", 3) is None and again.get("b", 3) == record
