"""Puts the tables of results/ between their marks in README.md and RESULTS.md.

    python -m benchmarks.lib.readme

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; nothing else changes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.calibrate import tried as calibrate_tried
from benchmarks.index import tables as index_tables
from benchmarks.kernels import tables as kernel_tables
from benchmarks.lib.rows import load, table
from benchmarks.model import quality_tables
from benchmarks.reuse import chorus_tables
from benchmarks.reuse import tables as reuse_tables

HERE = Path(__file__).parents[1]
PAGES = (HERE.parent / "README.md", HERE / "RESULTS.md")
Rows = list[dict[str, Any]]


def denoise(rows: Rows) -> str:
    """Our time over diffusers' by width."""
    shown = [
        {
            "what": f"{row['row'].split('_')[0]}, width {row['width']}",
            "ours (s)": row["seconds"],
            "diffusers (s)": row["baseline_seconds"],
            "ratio": row["ratio"],
            "relative error": row["error"],
        }
        for row in rows
    ]
    return table(shown, list(shown[0]))


def aot(rows: Rows) -> str:
    """Memory a chip by model and topology."""
    shown = [
        {
            "model, TPU": row["row"],
            "mesh": row["mesh"],
            "GiB a chip": row["total_gib"],
            "of": row["chip_gib"],
            "compile (s)": row["compile_seconds"],
        }
        for row in rows
    ]
    return table(shown, list(shown[0]))


@dataclass(frozen=True)
class Table:
    """A benchmark, which of its rows a table shows, and how it draws them; the script
    that measures it, if that has another name."""

    benchmark: str
    draw: Callable[[Rows], str]
    shows: Callable[[dict[str, Any]], bool] = lambda row: True
    script: str | None = None


def named(test: Callable[[str], bool]) -> Callable[[dict[str, Any]], bool]:
    """A test of a row's name, of the row."""
    return lambda row: test(row["row"])


TABLES = {
    "denoise": Table("denoise", denoise, named(lambda name: name.startswith("run_"))),
    "aot": Table("aot", aot),
    "quality": Table(
        "quality", quality_tables.quality, named(quality_tables.in_quality)
    ),
    "steps": Table("quality", quality_tables.steps, named(quality_tables.in_steps)),
    "training": Table("training", quality_tables.training),
    "vae": Table("quality", quality_tables.vae, named(quality_tables.in_vae)),
    "chorus": Table("chorus", chorus_tables.hits, named(chorus_tables.in_main)),
    "chorus_kinds": Table("chorus", chorus_tables.kinds, named(chorus_tables.in_arms)),
    "chorus_requests": Table(
        "chorus", chorus_tables.requests, named(chorus_tables.in_arms)
    ),
    "chorus_quality": Table(
        "chorus", chorus_tables.quality, named(chorus_tables.in_arms)
    ),
    "gains": Table("chorus", chorus_tables.gains, named(chorus_tables.in_gains)),
    "look": Table("calibrate", reuse_tables.look, reuse_tables.in_look),
    "limits": Table("calibrate", reuse_tables.limits, reuse_tables.in_limits),
    "calibrated": Table(
        "calibrate", reuse_tables.calibrated, reuse_tables.in_calibrated
    ),
    "calibrate_tried": Table(
        "calibrate_tried", calibrate_tried.table, script="calibrate"
    ),
    "regions": Table("regions", reuse_tables.regions),
    "look_up": Table("look_up", reuse_tables.look_up),
    "miss": Table("miss", reuse_tables.miss),
    "wrong_sources": Table("wrong_sources", reuse_tables.wrong_sources),
    "cold_start": Table("cold_start", reuse_tables.cold_start),
    "cold_start_prompts": Table("cold_start_prompts", reuse_tables.cold_start_prompts),
    "index": Table("index", index_tables.indexes),
    "kernels": Table("kernels", kernel_tables.cases, named(kernel_tables.in_cases)),
    "kernel_steps": Table(
        "kernels", kernel_tables.steps, named(kernel_tables.in_steps)
    ),
    "chorus_variants": Table("chorus_variants", kernel_tables.variants),
    "kernel_memory": Table(
        "kernels", kernel_tables.memory, named(kernel_tables.in_memory)
    ),
}


def drawn(name: str) -> str:
    """A table and its source for each device. ValueError if nothing is measured."""
    wanted = TABLES[name]
    rows = [row for row in load(wanted.benchmark) if wanted.shows(row)]
    if not rows:
        script = wanted.script or wanted.benchmark
        raise ValueError(
            f"nothing is measured for the table {name!r}: run "
            f"`python -m benchmarks.{script}`, or take its marks out"
        )
    parts = []
    for device in dict.fromkeys(row["device"] for row in rows):
        here = [row for row in rows if row["device"] == device]
        commands = dict.fromkeys(f"`{row['command']}`" for row in here)
        parts.append(f"{wanted.draw(here)}\n\n{device}; {', '.join(commands)}")
    return "\n\n".join(parts)


def filled(text: str) -> str:
    """A page's text with every marked table drawn anew."""

    def draw(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{drawn(match[1])}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", draw, text, flags=re.S)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text()))
