"""The tables of the model's own quality and speed."""

from collections.abc import Sequence

from benchmarks.lib.tables import (
    PageTable,
    Row,
    Rows,
    check_one_model,
    columns,
    named,
    transposed,
)

SPLITS = ("held_out", "seen")
ATTRIBUTES = ("colour", "shape", "size", "motion", "background")


def of_samples(name: str) -> bool:
    """Whether a row of this name measures samples of a split."""
    return name.startswith(SPLITS)


def of_vae(name: str) -> bool:
    """Whether a row of this name measures the VAE alone."""
    return name == "vae"


def split_and_steps(row: Row) -> str:
    """The label of a row of samples: its split and its steps."""
    split = row["row"].split()[0].replace("_", " ")
    return f"{split}, {row['steps']} steps, {row['prompts']} prompts"


def in_order(rows: Rows) -> Rows:
    """The rows of samples, most steps first."""
    samples = [row for row in rows if of_samples(row["row"])]
    return sorted(samples, key=lambda row: (-row["steps"], row["row"]))


def quality(rows: Rows) -> str:
    """Draws the quality and time of samples.

    Raises a ValueError if rows of samples and of the VAE are of different weights.
    """
    check_one_model(rows)
    names = ("accuracy", "render_db", "detail", "seconds")
    return columns(*names, row=split_and_steps)(in_order(rows))


def attributes(rows: Rows) -> str:
    """Draws the share of samples that have each attribute right."""
    names = [f"accuracy_{name}" for name in ATTRIBUTES]
    return transposed(in_order(rows), names, split_and_steps)


def steps(rows: Rows) -> str:
    """Draws the quality of one set of prompts over the number of steps."""
    rising = sorted(rows, key=lambda row: row["steps"])
    return columns("accuracy", "detail", "render_db")(rising)


def training(rows: Rows) -> str:
    """Draws the quality of held-out samples over the clips seen in training."""
    rising = sorted(rows, key=lambda row: row["clips"])
    return columns("accuracy", "accuracy_motion", "render_db", "excess")(rising)


def with_detail_of_vae(rows: Sequence[Row]) -> Rows:
    """Adds `detail_of_vae` to the rows of samples.

    It is the samples' detail divided by the detail of their VAE's reconstructions.
    """
    alone = {row["weights"]["vae"]: row["detail"] for row in rows if of_vae(row["row"])}

    def joined(row: Row) -> Row:
        detail = alone.get(row["weights"]["vae"])
        if of_vae(row["row"]) or not detail:
            return row
        return {**row, "detail_of_vae": row["detail"] / detail}

    return [joined(row) for row in rows]


QUALITY = "benchmarks.model.quality"
TABLES = {
    "quality": PageTable(
        QUALITY,
        "quality",
        quality,
        named(lambda name: of_samples(name) or of_vae(name)),
    ),
    "attributes": PageTable(QUALITY, "quality", attributes, named(of_samples)),
    "steps": PageTable(
        QUALITY, "quality", steps, named(lambda name: name.startswith("steps "))
    ),
    "vae": PageTable(
        QUALITY,
        "quality",
        columns("prompts", "psnr", "ssim", "detail"),
        named(of_vae),
    ),
    "shipped": PageTable(
        "benchmarks.model.shipped",
        "shipped",
        columns("megabytes", "seconds", "prompts", "psnr", "least"),
    ),
    "training": PageTable("benchmarks.model.training", "training", training),
}
