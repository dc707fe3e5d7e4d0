"""Measured rows: kept in results/NAME.jsonl, one JSON object each, and printed."""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

RESULTS = Path(__file__).parents[1] / "results"


def device() -> str:
    """The device that was measured, in words."""
    first = jax.devices()[0]
    if first.platform != "cpu":
        return f"{len(jax.devices())} x {first.device_kind}"
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {_processor()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [
        line.split(":")[1].strip() for line in lines if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()


def commit() -> str:
    """The commit that was measured, with `+` if the tree had changes; `unknown` in a
    copy without its history, or without git."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()

    drawn = ("benchmarks/results", "benchmarks/RESULTS.md", "README.md")
    others = [f":(top,exclude){path}" for path in drawn]
    try:
        # Fails where the repository around a copy is another one.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        changes = git("status", "--porcelain", "--", ":(top)", *others)
        return git("rev-parse", "--short", "HEAD") + ("+" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def command() -> str:
    """The command line of this process, as a reader would repeat it.

    Of files outside the working folder only the names: a row says nothing of the
    machine's folders.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = spec.name.removesuffix(".__main__") if spec else Path(sys.argv[0]).stem
    arguments = [Path(x).name if Path(x).is_absolute() else x for x in sys.argv[1:]]
    return shlex.join(["python", "-m", module, *arguments])


def load(benchmark: str) -> list[dict[str, Any]]:
    """The rows of a benchmark, those of all devices, last measured last."""
    path = RESULTS / f"{benchmark}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def save(benchmark: str, rows: Sequence[dict[str, Any]]) -> Path:
    """Replaces this device's rows of a benchmark; those of other devices stay."""
    here = device()
    kept = [row for row in load(benchmark) if row["device"] != here]
    return _write(benchmark, kept, rows)


def update(
    benchmark: str,
    rows: Sequence[dict[str, Any]],
    key: Sequence[str] = ("row",),
) -> Path:
    """Replaces this device's rows of these names; all other rows stay.

    `key` are the fields that tell rows apart, if the name alone does not.
    """
    told = lambda row: tuple(row.get(name) for name in key)
    here, names = device(), {told(row) for row in rows}
    kept = [
        row
        for row in load(benchmark)
        if row["device"] != here or told(row) not in names
    ]
    return _write(benchmark, kept, rows)


def _write(
    benchmark: str,
    kept: Sequence[dict[str, Any]],
    rows: Sequence[dict[str, Any]],
) -> Path:
    path = RESULTS / f"{benchmark}.jsonl"
    common = {"device": device(), "commit": commit(), "command": command()}
    new = [{"benchmark": benchmark, **row, **common} for row in rows]
    RESULTS.mkdir(exist_ok=True)
    # Written aside first: an interruption must not lose what was measured before.
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(row) + "\n" for row in [*kept, *new]))
    part.replace(path)
    return path


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """The rows as a Markdown table."""
    lines = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    for row in rows:
        lines.append(f"| {' | '.join(_cell(row.get(name)) for name in columns)} |")
    return "\n".join(lines)


def scaled(row: dict[str, Any], name: str, factor: float) -> float | None:
    """A figure in another unit, None where the row has none."""
    return row[name] * factor if name in row else None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)
