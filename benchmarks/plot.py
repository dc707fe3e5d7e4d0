"""Draws the figures of the README that need no model into results/.

    python -m benchmarks.plot

`quality.png`, which shows samples, is drawn by `python -m benchmarks.quality`.
"""

from benchmarks import panels, rows
from benchmarks.rows import RESULTS
from chorus_jax.training.world.attributes import held_out_combinations
from chorus_jax.training.world.captions import caption
from chorus_jax.training.world.examples import prompts
from chorus_jax.training.world.render import render
from chorus_jax.training.world.scene import World
from chorus_jax.video import write_contact_sheet

FIGURES = ("accuracy", "detail", "render_db")


def world() -> None:
    """Six rendered videos of the shapes world under their captions."""
    drawn = prompts(held_out_combinations(), 6, seed=4)
    videos = [
        render(prompt.asked[0], seed, World()) for seed, prompt in enumerate(drawn)
    ]
    labels = [caption(prompt.asked[0]) for prompt in drawn]
    write_contact_sheet(RESULTS / "world.png", videos, labels)


def steps() -> None:
    """Accuracy, detail and structure over the number of steps."""
    measured = rows.load("quality")
    curve = [row for row in measured if row["row"].startswith("steps ")]
    if not curve:
        print("no steps.png: `python -m benchmarks.quality --rows curve` measures it")
        return
    # Of the device that was measured last.
    curve = [row for row in curve if row["device"] == curve[-1]["device"]]
    curve.sort(key=lambda row: row["steps"])
    panels.draw(
        RESULTS / "steps.png",
        "Euler steps",
        [row["steps"] for row in curve],
        {name: [row[name] for row in curve] for name in FIGURES},
    )


if __name__ == "__main__":
    world()
    steps()
