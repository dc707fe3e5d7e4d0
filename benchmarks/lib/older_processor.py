"""Limits a benchmark's libraries to the instructions of an older processor.

XLA's code generation, oneDNN, ATen and MKL have a setting for this, which they read
when they are loaded. Some precompiled kernels may ignore it, so a measurement on an
actual older processor is more reliable.
"""

import os
import sys

NAME = "BENCHMARK_INSTRUCTION_SETS"
SETTINGS = {
    "avx2": {
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    }
}


def limited() -> str:
    """The instruction set that this process is limited to; "" if it is not."""
    return os.environ.get(NAME, "")


def limit(name: str | None) -> None:
    """Restarts this program with its libraries limited to an instruction set.

    Does nothing if the process is limited to it already.

    Args:
        name: a key of `SETTINGS`; None for no limit.
    """
    if name in (None, limited()):
        return
    environment = os.environ | SETTINGS[str(name)] | {NAME: str(name)}
    flags = os.environ.get("XLA_FLAGS", ""), environment["XLA_FLAGS"]
    environment["XLA_FLAGS"] = " ".join(flags).strip()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
