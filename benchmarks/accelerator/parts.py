"""The parts of `benchmarks.accelerator`: their commands and the time each may take."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

NAMES: Final = ("kernel_tests", "loop_tests", "kernels", "train")
KERNEL_TESTS: Final = (
    "tests/kernels_pallas/test_masked_region_attention.py",
    "tests/kernels_pallas/test_amplified_cross_attention.py",
)
LOOP_TESTS: Final = (
    "tests/chorus_jax/denoise/test_region_steps.py",
    "tests/chorus_jax/denoise/test_whole_steps.py",
    "tests/chorus_jax/denoise/test_loop.py",
)
REHEARSED: Final = ("tests/chorus_jax/training/test_deadline.py",)
# Options of ours that need packages which may be missing, and a warning of jax's own.
PYTEST: Final = (
    *("-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider"),
    *("-o", "addopts=", "-W", "ignore:The Pallas Triton:DeprecationWarning"),
)


@dataclass(frozen=True)
class TimedPart:
    """A process: its arguments to Python, its seconds, what it adds to the environment.

    With `rest`, it may take what the parts before it left over, too.
    """

    name: str
    arguments: tuple[str, ...]
    seconds: float
    environment: Mapping[str, str] = field(default_factory=dict)
    rest: bool = False


def parts(
    folder: Path, seconds: float, platform: str, rehearse: bool
) -> tuple[TimedPart, ...]:
    """The parts in order of worth, of `seconds` in all.

    Args:
      folder: where results go.
      seconds: for all parts; at most 2 minutes are the tests', 3 the kernels'.
      platform: jax's name of the backend: "gpu", "tpu" or "cpu".
      rehearse: whether every part is as small as it can be.
    """
    tests, kernels = min(60.0, seconds / 9), min(180.0, seconds / 3)
    tiny = ("--rehearse",) if rehearse else ()
    marked = () if rehearse else ("-m", platform)
    there = {"JAX_PLATFORMS": {"gpu": "cuda"}.get(platform, platform)}
    out = ("--out", str(folder))
    return (
        TimedPart(
            "kernel_tests",
            (*PYTEST, *marked, *(REHEARSED if rehearse else KERNEL_TESTS)),
            tests,
            there,
        ),
        TimedPart(
            "loop_tests",
            (*PYTEST, *(REHEARSED if rehearse else LOOP_TESTS)),
            tests,
            there,
        ),
        TimedPart(
            "kernels",
            ("-m", "benchmarks.accelerator.kernels", *out, *tiny),
            kernels,
        ),
        TimedPart(
            "train",
            ("-m", "benchmarks.accelerator.train", *out, *tiny),
            seconds - 2 * tests - kernels,
            rest=True,
        ),
    )


def backend() -> str:
    """The platform of jax's default backend, asked of another process.

    A process that asks for itself takes the device's memory and keeps it.
    """
    code = "import jax; print(jax.default_backend())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"jax finds no backend: {ran.stderr.strip()[-500:]}")
    return ran.stdout.split()[-1]
