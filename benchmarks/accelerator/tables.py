"""The tables of `benchmarks.accelerator`: kernels and steps on a GPU or TPU."""

from typing import Any

from benchmarks.lib.rows import table
from benchmarks.lib.tables import PageTable, Row, Rows


def is_step(row: Row) -> bool:
    """Whether a row compares steps or runs with full ones."""
    return "ratio" in row


def is_kernel(row: Row) -> bool:
    """Whether a row compares kernels."""
    return "operations" in row


def is_brief(row: Row) -> bool:
    """Whether a row is of steps, or of kernels for a quarter of the tiles."""
    timed = {"ours_seconds", "cudnn_seconds"} <= row.keys()
    return is_step(row) or (timed and row["row"].endswith(" 0.25"))


def steps(rows: Rows) -> str:
    """Draws region steps over full steps, and token budgets over full runs."""
    lines = [
        {
            "row": step_name(row),
            "tokens": row["tokens"],
            "computed share": row["share"],
            "time": readable(row["seconds"]),
            "of full steps": readable(row["baseline_seconds"]),
            "relative time": row["ratio"],
        }
        for row in rows
    ]
    return table(lines, list(lines[0]))


def kernels(rows: Rows) -> str:
    """Draws the times of our kernels, of cuDNN and of XLA, and the speeds of two."""
    lines = [
        {
            "row": row["row"],
            "ours (ms)": milliseconds(row, "ours"),
            "cuDNN (ms)": milliseconds(row, "cudnn"),
            "XLA (ms)": milliseconds(row, "xla"),
            "ours (TFLOP/s)": speed(row, "ours"),
            "cuDNN (TFLOP/s)": speed(row, "cudnn"),
        }
        for row in rows
    ]
    return table(lines, list(lines[0]))


def brief(rows: Rows) -> str:
    """Draws steps over full ones, and our kernels over cuDNN."""
    lines = []
    for row in rows:
        if is_step(row):
            name, beside = step_name(row), "all tokens"
            ours, other = row["seconds"], row["baseline_seconds"]
        else:
            name, beside = f"our kernel, {row['row']}", "cuDNN"
            ours, other = row["ours_seconds"], row["cudnn_seconds"]
        compared = f"{beside}: {readable(other)}"
        line = {"row": name, "time": readable(ours), "compared with": compared}
        lines.append({**line, "relative time": ours / other})
    return table(lines, list(lines[0]))


def step_name(row: Row) -> str:
    """The name of a row of steps, with its size; for a region also its share."""
    if row["row"] == "region":
        return f"region step, {row['size']}, {row['share']:g}"
    return f"{row['row']}, a run of {row['steps']} steps, {row['size']}"


def readable(seconds: float) -> str:
    """A time in seconds, or in milliseconds if it is below one second."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def milliseconds(row: dict[str, Any], name: str) -> float | None:
    """The time of a function; None if it was not measured."""
    seconds = row.get(f"{name}_seconds")
    return None if seconds is None else 1000 * seconds


def speed(row: dict[str, Any], name: str) -> float | None:
    """The speed of a function in TFLOP/s; None if it was not measured."""
    seconds = row.get(f"{name}_seconds")
    return None if seconds is None else row["operations"] / seconds / 1e12


SCRIPT, BENCHMARK = "benchmarks.accelerator", "accelerator"
TABLES = {
    "accelerator_steps": PageTable(SCRIPT, BENCHMARK, steps, is_step),
    "accelerator_kernels": PageTable(SCRIPT, BENCHMARK, kernels, is_kernel),
    "accelerator_brief": PageTable(SCRIPT, BENCHMARK, brief, is_brief),
}
