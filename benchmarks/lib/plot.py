"""Draws the README's figures that need no model into benchmarks/results/.

    python -m benchmarks.lib.plot

`quality.png`, which shows samples, is drawn by `python -m benchmarks.model.quality`.
"""

from typing import Any

from benchmarks.caches.tables import timed
from benchmarks.lib import panels, rows
from benchmarks.lib.rows import RESULTS
from benchmarks.reuse.arms import CACHED, WHOLE
from benchmarks.reuse.chorus_tables import CURVE
from chorus_jax.media.video import write_contact_sheet
from chorus_jax.training.world.attributes import held_out_combinations
from chorus_jax.training.world.captions import caption
from chorus_jax.training.world.examples import prompts
from chorus_jax.training.world.render import render
from chorus_jax.training.world.scene import World

FIGURES = ("accuracy", "detail", "render_db")
DRAWN = ("fewer steps", "tea", "taylor 1", "sea", "planned")  # in caches.png
CURVE_FIGURES = ("accuracy_changed", "detail")


def world() -> None:
    """Draws six rendered videos of the shapes world with their captions."""
    drawn = prompts(held_out_combinations(), 6, seed=4)
    videos = [
        render(prompt.attributes[0], seed, World()) for seed, prompt in enumerate(drawn)
    ]
    labels = [caption(prompt.attributes[0]) for prompt in drawn]
    write_contact_sheet(RESULTS / "world.png", videos, labels)


def steps() -> None:
    """Draws accuracy, detail and `render_db` over the number of steps."""
    measured = rows.load("quality")
    curve = [row for row in measured if row["row"].startswith("steps ")]
    if not curve:
        print("no steps.png: run `python -m benchmarks.model.quality --rows curve`")
        return
    # Rows of the device that was measured last.
    curve = [row for row in curve if row["device"] == curve[-1]["device"]]
    curve.sort(key=lambda row: row["steps"])
    panels.draw(
        RESULTS / "steps.png",
        "Euler steps",
        {name: {"": [(row["steps"], row[name]) for row in curve]} for name in FIGURES},
    )


def training() -> None:
    """Draws the quality of held-out samples over the clips seen in training."""
    if not (measured := latest("training")):
        print("no training.png: run `python -m benchmarks.model.training --run DIR`")
        return
    measured.sort(key=lambda row: row["clips"])
    thousands = lambda name: [(row["clips"] / 1000, row[name]) for row in measured]
    panels.draw(
        RESULTS / "training.png",
        "thousands of clips",
        {
            "accuracy": {
                name: thousands(f"accuracy_{name}") for name in ("shape", "motion")
            },
            "excess error": {"": thousands("excess")},
            "render_db": {"": thousands("render_db")},
        },
    )


def chorus() -> None:
    """Draws accuracy of changed attributes and detail over the cost of reuse."""
    measured = rows.load("chorus")
    if not any(row["row"].startswith(CURVE) for row in measured):
        print("no chorus_*.png: run `python -m benchmarks.reuse.chorus --rows --curve`")
        return
    # Policies may have been measured on another device, on which times differ only.
    hits = [row for row in measured if row["row"] in (WHOLE, CACHED)]
    last = [row for row in measured if row["row"].startswith(CURVE)][-1]["device"]
    points = [row for row in measured if row["device"] == last]
    for steps in sorted({row["steps"] for row in points}):
        shown = [x for x in [*points, *hits] if x["steps"] == steps]
        panels.draw(
            RESULTS / f"chorus_{steps}.png",
            f"equivalents of {steps} steps",
            {name: curve_lines(shown, name) for name in CURVE_FIGURES},
        )


def curve_lines(curve: list[dict[str, Any]], name: str) -> panels.Lines:
    """A line for each way to save work: stage 1 alone, all of Chorus, fewer steps.

    The last point of each line is the full run. The line `policy` has the calibrated
    policy, without and with its step cache, on the hits that differ from their source.
    """
    lines: dict[str, panels.Line] = {}
    for way in ("stage1", "chorus", "fewer"):
        ends = (f"{CURVE}{way}", f"{CURVE}full")
        ended = [row for row in curve if row["row"].startswith(ends) and name in row]
        points = sorted((row["equivalents"], row[name]) for row in ended)
        if points:
            lines[way] = points
    points = sorted(
        (row["equivalents"], row[name])
        for row in curve
        if row["row"] in (WHOLE, CACHED) and row["over"] == "changed" and name in row
    )
    return {**lines, "policy": points} if points else lines


def cold_start() -> None:
    """Draws hit rates and mean times as the cache fills, also for users' prompts."""
    shown: dict[str, panels.Lines] = {}
    if measured := latest("cold_start"):
        counts = sorted({row["steps"] for row in measured})
        for name, title in (("hit_rate", "hits"), ("ratio", "time over no cache")):
            lines = {
                f"{n} steps": [
                    (row["until"], row[name]) for row in measured if row["steps"] == n
                ]
                for n in counts
            }
            shown[title] = lines
    users = latest("cold_start_prompts")
    for name in dict.fromkeys(row["row"] for row in users):
        of = [row for row in users if row["row"] == name]
        shown[f"score 0.8: {name}"] = {
            order: [(x["until"], x["score_80"]) for x in of if x["order"] == order]
            for order in ("trace", "shuffled")
        }
    if not shown:
        print("no cold_start.png: `python -m benchmarks.reuse.cold_start` measures it")
        return
    panels.draw(RESULTS / "cold_start.png", "requests", shown)


def caches() -> None:
    """Draws the quality of the methods in `DRAWN` over their share of the full time."""
    measured = [row for row in latest("caches") if row["steps"] == 50]
    points = [(timed(row), row) for row in measured]
    if not any(time for time, _ in points):
        print("no caches.png: run `python -m benchmarks.caches`, then with --time")
        return
    panels.draw(
        RESULTS / "caches.png",
        "share of the full run's time",
        {
            name: {
                method: sorted(
                    (x, row[name]) for x, row in points if x and row["row"] == method
                )
                for method in DRAWN
            }
            for name in ("psnr", "ssim", "accuracy", "detail")
        },
    )


def latest(benchmark: str) -> list[dict[str, Any]]:
    """The rows of the device that was measured last."""
    measured = rows.load(benchmark)
    return [row for row in measured if row["device"] == measured[-1]["device"]]


if __name__ == "__main__":
    world()
    steps()
    training()
    chorus()
    cold_start()
    caches()
