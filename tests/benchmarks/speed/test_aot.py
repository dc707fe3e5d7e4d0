"""Some full-size denoising steps compile for real TPUs and fit their chips."""

import pytest

pytest.importorskip("libtpu", reason="needs libtpu: Linux on x86-64")

from benchmarks.speed.aot import CASES, compile_step  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.name)
def test_step_compiles_and_fits(case, capsys):
    row = compile_step(case)
    with capsys.disabled():
        print(f" {row['total_gib']:.1f} of {row['chip_gib']} GiB a chip", end=" ")
    assert row["total_gib"] < row["chip_gib"]
    assert row["kernels"] >= 1, "self-attention should be the Pallas kernel"
