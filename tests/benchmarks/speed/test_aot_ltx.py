"""Full-size denoising steps of LTX-Video compile for real TPUs and fit their chips."""

import pytest

pytest.importorskip("libtpu", reason="needs libtpu: Linux on x86-64")

from benchmarks.speed.aot import compile_step  # noqa: E402
from benchmarks.speed.aot_ltx import CASES, lowered  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.model} on {c.topology}")
def test_step_compiles_and_fits(case):
    row = compile_step(case, lowered)
    assert row["total_gib"] < row["chip_gib"]
    assert row["kernels"] >= 1, "self-attention should be the Pallas kernel"
