"""Stores measured rows in results/NAME.jsonl, a JSON object each, and prints them."""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks.lib.older_processor import limited

RESULTS = Path(__file__).parents[1] / "results"
CPU = Path("/proc/cpuinfo")
# Instruction sets that decide the speed of a CPU, as Linux names them.
SETS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "sve", "bf16")


def device() -> str:
    """A description of the device; for a CPU, with its instruction sets."""
    first = jax.devices()[0]
    if first.platform != "cpu":
        return f"{len(jax.devices())} x {first.device_kind}"
    cores, (name, sets) = len(os.sched_getaffinity(0)), processor()
    if limited():
        return f"{cores} cores of {name} (limited to {limited()})"
    return f"{cores} cores of {name}" + (f" ({', '.join(sets)})" if sets else "")


def processor() -> tuple[str, list[str]]:
    """The processor's name, and the instruction sets in `SETS` that it has."""
    try:
        lines = [line.partition(":") for line in CPU.read_text().splitlines()]
    except OSError:
        return platform.processor() or platform.machine(), []
    fields = {name.strip(): value.strip() for name, _, value in lines}
    flags = fields.get("flags", fields.get("Features", "")).split()
    name = fields.get("model name", platform.machine())
    return name, [known for known in SETS if known in flags]


def of_device(row: dict[str, Any], here: str) -> bool:
    """Whether a row was measured on this device; old rows have no instruction sets."""
    return row["device"] in (here, here.partition(" (")[0])


def commit() -> str:
    """The current commit, with `+` if the tree has uncommitted changes.

    `unknown` if git is missing or this file is not in a repository.
    """
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()

    drawn = ("benchmarks/results", "benchmarks/RESULTS.md", "README.md")
    others = [f":(top,exclude){path}" for path in drawn]
    try:
        # Fails if this is a copy inside of another repository.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        changes = git("status", "--porcelain", "--", ":(top)", *others)
        return git("rev-parse", "--short", "HEAD") + ("+" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def command() -> str:
    """The command line of this process, for a reader to repeat.

    Absolute paths are reduced to file names, so that rows do not show the machine's
    folders.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = spec.name.removesuffix(".__main__") if spec else Path(sys.argv[0]).stem
    arguments = [Path(x).name if Path(x).is_absolute() else x for x in sys.argv[1:]]
    return shlex.join(["python", "-m", module, *arguments])


def load(benchmark: str) -> list[dict[str, Any]]:
    """The rows of a benchmark on all devices, in the order of measurement."""
    path = RESULTS / f"{benchmark}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def save(benchmark: str, rows: Sequence[dict[str, Any]]) -> Path:
    """Replaces this device's rows of a benchmark; keeps the rows of other devices."""
    here = device()
    remaining = [row for row in load(benchmark) if not of_device(row, here)]
    return _write(benchmark, remaining, rows)


def update(
    benchmark: str,
    rows: Sequence[dict[str, Any]],
    key: Sequence[str] = ("row",),
) -> Path:
    """Replaces this device's rows that have the same key; keeps all other rows.

    `key` lists the fields whose values together distinguish the rows of a device.
    """
    name = lambda row: tuple(row.get(field) for field in key)
    here, names = device(), {name(row) for row in rows}
    remaining = [
        row
        for row in load(benchmark)
        if not of_device(row, here) or name(row) not in names
    ]
    return _write(benchmark, remaining, rows)


def drop_other_weights(benchmark: str, weights: Mapping[str, str]) -> None:
    """Removes this device's rows that were measured with other weights.

    A table must not mix two models, so the rows of earlier weights are dropped.

    Args:
        benchmark: the name of the file.
        weights: the fingerprints of the model's parts, by name.
    """
    here, every = device(), load(benchmark)

    def fits(row: dict[str, Any]) -> bool:
        known = row.get("weights", {})
        alike = all(known[part] == weights[part] for part in known if part in weights)
        return alike or not of_device(row, here)

    if not all(map(fits, every)):
        _write(benchmark, list(filter(fits, every)), ())


def completed(benchmark: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as they are stored: with the benchmark, device, commit and command."""
    common = {"device": device(), "commit": commit(), "command": command()}
    return [{"benchmark": benchmark, **row, **common} for row in rows]


def append(path: Path, benchmark: str, row: dict[str, Any]) -> None:
    """Appends a row to a file, as it is stored in the results.

    For machines whose results are copied: `cat FILE >> results/BENCHMARK.jsonl`.
    """
    with path.open("a") as file:
        file.writelines(json.dumps(x) + "\n" for x in completed(benchmark, [row]))


def _write(
    benchmark: str,
    remaining: Sequence[dict[str, Any]],
    rows: Sequence[dict[str, Any]],
) -> Path:
    path = RESULTS / f"{benchmark}.jsonl"
    new = completed(benchmark, rows)
    RESULTS.mkdir(exist_ok=True)
    # Written to another file first, so that an interruption cannot lose older rows.
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(row) + "\n" for row in [*remaining, *new]))
    part.replace(path)
    return path


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """The rows as a Markdown table."""
    lines = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    for row in rows:
        lines.append(f"| {' | '.join(_cell(row.get(name)) for name in columns)} |")
    return "\n".join(lines)


def scaled(row: dict[str, Any], name: str, factor: float) -> float | None:
    """A figure in another unit; None if the row does not have it."""
    return row[name] * factor if name in row else None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)
