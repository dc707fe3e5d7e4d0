"""Videos by forced kernels are compared with the platform's own; errors stop it."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.kernels import tables as kernel_tables
from benchmarks.reuse import variants as chorus_variants
from benchmarks.reuse.running import ArmRun
from benchmarks.reuse.variants import compared, variants
from chorus_jax.engine import Ledger
from kernels_pallas import dispatch

HIT = Ledger("semantic", 4, 2.5, 0.9, "source", 1, 3, active=0.5)


@pytest.fixture
def found(monkeypatch):
    """What is said of a variant whose videos are brighter than the plain path's."""
    judged = lambda prompt, frames: {"accuracy": float(frames.mean() < 3)}
    monkeypatch.setattr(chorus_variants, "judge", judged)

    def make(ledgers=(HIT, HIT), refuses=False, brighter=5):
        def arm(target):
            forced = dispatch.forced.value
            if forced and refuses:
                raise NotImplementedError("heads of 48")
            frames = np.full((5, 8, 8, 3), brighter if forced else 0, np.uint8)
            return ArmRun(frames, ledgers[forced is not None])

        return compared("x", arm, TARGETS, [arm(target) for target in TARGETS])

    return make


TARGETS = [SimpleNamespace(prompt="a")] * 2


def test_a_variant_is_forced_and_compared_with_the_plain_path(found):
    told = found()
    assert told["psnr"] == pytest.approx(20 * np.log10(255 / 5))
    assert (told["accuracy_own"], told["accuracy"]) == (1.0, 0.0)


def test_what_refuses_says_so(found):
    assert found(refuses=True) == {"refused": "heads of 48"}


@pytest.mark.parametrize(
    "ledgers",
    [
        (HIT, Ledger("semantic", 4, 2.5, 0.9, "other", 1, 3, active=0.5)),
        (Ledger("miss", 4, 4.0), Ledger("miss", 4, 4.0)),
    ],
    ids=["another source", "misses"],
)
def test_other_work_stops_it(found, ledgers):
    with pytest.raises(SystemExit, match="two equal hits with a region"):
        found(ledgers)


def test_another_video_stops_it(found):
    with pytest.raises(SystemExit, match="28.1 dB .* of 'a', expected 30 or more"):
        found(brighter=10)


def test_all_that_run_on_a_cpu_are_tried():
    assert variants() == ["reference", "tpu_interpreted", "gpu_interpreted"]


def test_the_table_has_a_line_a_variant():
    rows = [{"row": "reference", "targets": 2, "psnr": 50.0}]
    rows.append({"row": "gpu_interpreted", "targets": 2, "refused": "heads of 48"})
    assert kernel_tables.variants(rows).splitlines()[2:] == [
        "| reference | 2 | 50 |  |  |  |",
        "| gpu_interpreted | 2 |  |  |  | heads of 48 |",
    ]
