"""The tables of `benchmarks.accelerator`: kernels and steps on a GPU or TPU."""

from benchmarks.lib.rows import table
from benchmarks.lib.tables import PageTable, Rows


def steps(rows: Rows) -> str:
    """Draws region steps over full steps, and runs with token budgets over full runs."""
    lines = [
        {
            "row": row["row"],
            "size": row["size"],
            "tokens": row["tokens"],
            "computed share": row["share"],
            "seconds": row["seconds"],
            "full (s)": row["baseline_seconds"],
            "ratio": row["ratio"],
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


def milliseconds(row: dict, name: str) -> float | None:
    """The time of a function; None if it was not measured."""
    seconds = row.get(f"{name}_seconds")
    return None if seconds is None else 1000 * seconds


def speed(row: dict, name: str) -> float | None:
    """The speed of a function in TFLOP/s; None if it was not measured."""
    seconds = row.get(f"{name}_seconds")
    return None if seconds is None else row["operations"] / seconds / 1e12


SCRIPT = "benchmarks.accelerator"
TABLES = {
    "accelerator_steps": PageTable(SCRIPT, "accelerator_steps", steps),
    "accelerator_kernels": PageTable(SCRIPT, "accelerator_kernels", kernels),
}
