"""The figures of a rung: means over pairs, and what is lost, with its error."""

import pytest

from benchmarks.calibrate.fidelity import RungOutcome, row


def test_a_loss_is_of_what_is_right_in_full():
    outcomes = [
        RungOutcome(20.0, 30.0, 0.9, right=0.0, full=1.0),
        RungOutcome(20.0, 20.0, 0.7, right=1.0, full=1.0),
        RungOutcome(20.0, 25.0, 0.8, right=0.0, full=0.0),
        RungOutcome(20.0, 25.0, 0.8, right=1.0, full=0.0),
    ]
    figures = row(outcomes)
    assert figures["pairs"] == 4 and figures["psnr"] == 25 and figures["ssim"] == 0.8
    assert figures["accuracy_changed"] == 0.5 and figures["accuracy_changed_loss"] == 0
    assert figures["error"] == pytest.approx((2 / 3) ** 0.5 / 2)
