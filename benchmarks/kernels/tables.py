"""The tables of `benchmarks.kernels --aot` and of `benchmarks.reuse.variants`."""

from typing import Any

from benchmarks.kernels.aot import TOPOLOGIES
from benchmarks.lib.rows import scaled, table
from benchmarks.lib.tables import PageTable, named

Rows = list[dict[str, Any]]
KERNELS = ("region", "own", "cross")


def in_cases(name: str) -> bool:
    """Whether a row of this name measures a kernel compiled for a TPU."""
    words = name.split()
    return words[0] in KERNELS and words[-1] in TOPOLOGIES


def in_steps(name: str) -> bool:
    """Whether a row of this name measures a layer of a region step."""
    return name.startswith("step ")


def in_memory(name: str) -> bool:
    """Whether a row of this name measures the memory of whole region steps."""
    return name.startswith("memory ")


def cases(rows: Rows) -> str:
    """Draws the cycles of our kernels divided by the plain path's, for each TPU.

    The last column is the largest on-chip memory of a kernel on any of these TPUs.
    """
    ratios: dict[str, dict[str, Any]] = {}
    for row in rows:
        *words, generation = row["row"].split()
        kernel, model, size, share, *text = words
        line = ratios.setdefault(
            " ".join(words),
            {
                "kernel": " ".join([kernel, *text]),
                "Wan": f"{model} {size}",
                "active share": share,
                "VMEM (MiB)": 0.0,
            },
        )
        line[generation] = row["ratio"]
        line["VMEM (MiB)"] = max(line["VMEM (MiB)"], row["vmem_mib"])
    measured_on = {row["row"].split()[-1] for row in rows}
    generations = [name for name in TOPOLOGIES if name in measured_on]
    columns = ["kernel", "Wan", "active share", *generations, "VMEM (MiB)"]
    return table(sorted(ratios.values(), key=_place), columns)


def steps(rows: Rows) -> str:
    """Draws the cycles of a layer in a region step, divided by those in a full step.

    Both have the attention that the library chooses.
    """
    shown = [
        {
            "Wan, TPU": _of(row, (2, 3, 5)),
            "active share": row["active"],
            "region by": row["region"],
            "of a full layer": row.get("ratio"),
            "of the other way": _over_other(row),
        }
        for row in rows
    ]
    return table(shown, list(shown[0]))


def _over_other(row: dict[str, Any]) -> float | None:
    """Cycles of the chosen attention divided by those of the alternative.

    None if either is unknown.
    """
    kernel, plain = row["kernel_cycles"], row["plain_cycles"]
    if not kernel or not plain:
        return None
    return plain / kernel if row["region"] == "plain" else kernel / plain


def memory(rows: Rows) -> str:
    """Draws the memory of region steps with and without our kernels."""
    shown = [
        {
            "Wan, TPU": _of(row, (2, 3, 6)),
            "active share": row["active"],
            "with": row["row"].split()[5],
            "temporary (GiB)": row["temporary_mib"] / 1024,
            "weights and held keys (GiB)": scaled(row, "arguments_mib", 1 / 1024),
            "fits": "yes" if row["fits"] else "no",
        }
        for row in rows
    ]
    return table(shown, list(shown[0]))


def variants(rows: Rows) -> str:
    """Draws the results of Chorus with each implementation of the kernels forced."""
    shown = [
        {
            "implementation": row["row"],
            "targets": row["targets"],
            "PSNR to the plain path's (dB)": row.get("psnr"),
            "accuracy": row.get("accuracy"),
            "plain path's": row.get("accuracy_own"),
            "refused": row.get("refused"),
        }
        for row in rows
    ]
    return table(shown, list(shown[0]))


def _place(line: dict[str, Any]) -> tuple[Any, ...]:
    kernel, *text = line["kernel"].split()
    return KERNELS.index(kernel), text, line["Wan"], float(line["active share"])


def _of(row: dict[str, Any], places: tuple[int, ...]) -> str:
    words = row["row"].split()
    return " ".join(words[place] for place in places)


KERNEL_SCRIPT = "benchmarks.kernels --aot"
TABLES = {
    "kernels": PageTable(KERNEL_SCRIPT, "kernels", cases, named(in_cases)),
    "kernel_steps": PageTable(KERNEL_SCRIPT, "kernels", steps, named(in_steps)),
    "kernel_memory": PageTable(KERNEL_SCRIPT, "kernels", memory, named(in_memory)),
    "chorus_variants": PageTable(
        "benchmarks.reuse.variants", "chorus_variants", variants
    ),
}
