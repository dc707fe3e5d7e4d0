"""Videos by forced kernels are compared with the platform's own, or it stops."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import chorus_variants, kernel_tables
from benchmarks.chorus_running import Run
from benchmarks.chorus_variants import compared, variants
from chorus_jax.engine import Ledger
from kernels_pallas import dispatch

HIT = Ledger("semantic", 4, 2.5, 0.9, "source", 1, 3, active=0.5)


@pytest.fixture
def arm(monkeypatch):
    """One whose videos are brighter where a kernel is forced."""
    judged = lambda prompt, frames: {"accuracy": float(frames.mean() < 5)}
    monkeypatch.setattr(chorus_variants, "judge", judged)

    def make(ledgers=(HIT, HIT), refuses=False):
        def run(target):
            forced = dispatch.forced.value
            if forced and refuses:
                raise NotImplementedError("heads of 48")
            frames = np.full((5, 8, 8, 3), 10 if forced else 0, np.uint8)
            return Run(frames, ledgers[forced is not None])

        return run

    return make


TARGETS = [SimpleNamespace(prompt="a")] * 2


def test_a_variant_is_forced_and_compared_with_the_plain_path(arm):
    found = compared("reference", arm(), TARGETS)
    assert found["psnr"] == pytest.approx(20 * np.log10(255 / 10))
    assert (found["accuracy_own"], found["accuracy"]) == (1.0, 0.0)


def test_what_refuses_says_so(arm):
    assert compared("x", arm(refuses=True), TARGETS) == {"refused": "heads of 48"}


@pytest.mark.parametrize(
    "ledgers",
    [
        (HIT, Ledger("semantic", 4, 2.5, 0.9, "other", 1, 3, active=0.5)),
        (Ledger("miss", 4, 4.0), Ledger("miss", 4, 4.0)),
    ],
    ids=["another source", "misses"],
)
def test_other_work_stops_it(arm, ledgers):
    with pytest.raises(SystemExit, match="two equal hits with a region"):
        compared("reference", arm(ledgers), TARGETS)


def test_all_that_run_on_a_cpu_are_tried():
    assert variants() == ["reference", "tpu_interpreted", "gpu_interpreted"]


def test_the_table_has_a_line_a_variant():
    rows = [{"row": "reference", "targets": 2, "psnr": 50.0}]
    rows.append({"row": "gpu_interpreted", "targets": 2, "refused": "heads of 48"})
    assert kernel_tables.variants(rows).splitlines()[2:] == [
        "| reference | 2 | 50 |  |  |  |",
        "| gpu_interpreted | 2 |  |  |  | heads of 48 |",
    ]
