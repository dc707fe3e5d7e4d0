"""What holds to the bit only as XLA compiles for users, in a process of its own."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(
    not version("jaxlib").startswith("0.10."),
    reason="all tests compile as users do: this jaxlib has one way only",
)
def test_bit_for_bit_as_users_compile():
    marked = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if "@pytest.mark.as_users" in path.read_text() and path != Path(__file__)
    ]
    assert marked
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-m", "as_users", *marked],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=true"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert "skipped" not in ran.stdout
