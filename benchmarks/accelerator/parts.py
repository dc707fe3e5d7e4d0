"""The parts of `benchmarks.accelerator`: their commands and the time each may take."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

NAMES: Final = ("kernel_tests", "loop_tests", "kernels", "train")
LONGEST: Final = {"kernel_tests": 60.0, "loop_tests": 60.0, "kernels": 180.0}
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
    """A process of the accelerator's benchmark, with its share of the time.

    Attributes:
        name: as it is reported.
        arguments: those to Python.
        seconds: the time that it may take.
        environment: variables that are added.
        takes_rest: whether it may also take what the parts before it left over.
    """

    name: str
    arguments: tuple[str, ...]
    seconds: float
    environment: Mapping[str, str] = field(default_factory=dict)
    takes_rest: bool = False


def parts(
    folder: Path,
    seconds: float,
    platform: str,
    rehearse: bool,
    names: Sequence[str] = NAMES,
) -> tuple[TimedPart, ...]:
    """The parts in order of worth.

    Args:
      folder: where results go.
      seconds: for all parts; at most 2 minutes are the tests', 3 the kernels'.
      platform: jax's name of the backend: "gpu", "tpu" or "cpu".
      rehearse: whether every part is as small as it can be.
      names: which parts; the training has the time that the others do not take.
    """
    limits = dict(zip(NAMES, (seconds / 9, seconds / 9, seconds / 3)))
    limits = {name: min(LONGEST[name], limit) for name, limit in limits.items()}
    taken = sum(limit for name, limit in limits.items() if name in names)
    limits["train"] = seconds - taken
    tiny = ("--rehearse",) if rehearse else ()
    marked = () if rehearse else ("-m", platform)
    there = {"JAX_PLATFORMS": {"gpu": "cuda"}.get(platform, platform)}
    out = ("--out", str(folder))
    commands = {
        "kernel_tests": (*PYTEST, *marked, *(REHEARSED if rehearse else KERNEL_TESTS)),
        "loop_tests": (*PYTEST, *(REHEARSED if rehearse else LOOP_TESTS)),
        "kernels": ("-m", "benchmarks.accelerator.kernels", *out, *tiny),
        "train": ("-m", "benchmarks.accelerator.train", *out, *tiny),
    }
    return tuple(
        TimedPart(
            name,
            commands[name],
            limits[name],
            there if name.endswith("tests") else {},
            takes_rest=name == "train",
        )
        for name in NAMES
        if name in names
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
