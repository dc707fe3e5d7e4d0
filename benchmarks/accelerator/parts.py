"""The parts of `benchmarks.accelerator`: their commands and the time each may take."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

NAMES: Final = ("kernel_tests", "loop_tests", "steps", "serve", "kernels", "train")
LONGEST: Final = {
    "kernel_tests": 60.0,
    "loop_tests": 60.0,
    "steps": 120.0,
    "serve": 150.0,
    "kernels": 90.0,
}
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
# Without the options of setup.cfg, since they need packages which may be missing.
PYTEST: Final = (
    *("-m", "pytest", "-v", "--import-mode=importlib", "-p", "no:cacheprovider"),
    *("-c", os.devnull, "--rootdir", "."),
)
TESTED: Final = {
    # By default a GPU rounds float32 operands of products to 19 bits (TF32).
    "JAX_DEFAULT_MATMUL_PRECISION": "highest",
    # Some of the tests' workers would find no memory left.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
WORKERS: Final = 10


@dataclass(frozen=True)
class TimedPart:
    """A process of the accelerator's benchmark, with its share of the time.

    Attributes:
        name: the name in reports.
        arguments: the arguments to Python.
        seconds: the time that it may take.
        environment: additional environment variables.
        takes_rest: whether it may also take the time that earlier parts did not use.
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
    """The parts, the most important first.

    Args:
      folder: the folder of results.
      seconds: the time for all parts; the tests take at most 2 minutes of it, steps 2,
        serving 2.5 and kernels 1.5, and the training has the rest.
      platform: jax's name of the backend: "gpu", "tpu" or "cpu".
      rehearse: whether every part is as small as possible.
      names: the names of the parts to run.
    """
    shares = dict(zip(NAMES, (1 / 9, 1 / 9, 1 / 5, 1 / 5, 1 / 6)))
    limits = {k: min(LONGEST[k], seconds * share) for k, share in shares.items()}
    taken = sum(limit for name, limit in limits.items() if name in names)
    limits["train"] = seconds - taken
    tiny = ("--rehearse",) if rehearse else ()
    marked = () if rehearse else ("-m", platform)
    there = {"JAX_PLATFORMS": {"gpu": "cuda"}.get(platform, platform), **TESTED}
    out = ("--out", str(folder))
    several = () if rehearse or find_spec("xdist") is None else ("-n", str(WORKERS))
    pytest = (*PYTEST, *several)
    commands = {
        "kernel_tests": (*pytest, *marked, *(REHEARSED if rehearse else KERNEL_TESTS)),
        # Meshes of these tests take eight devices.
        "loop_tests": (
            *(*pytest, "-k", "not mesh and not devices"),
            *(REHEARSED if rehearse else LOOP_TESTS),
        ),
        "steps": ("-m", "benchmarks.accelerator.steps", *out, *tiny),
        "serve": ("-m", "benchmarks.accelerator.serve", *out, *tiny),
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
    """The platform of jax's default backend, determined in another process.

    The calling process must not initialise the backend, since it would then hold the
    device's memory while the parts run. Raises a RuntimeError if there is no backend.
    """
    code = "import jax; print(jax.default_backend())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"jax finds no backend: {ran.stderr.strip()[-500:]}")
    return ran.stdout.split()[-1]
