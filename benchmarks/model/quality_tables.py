"""The tables that are drawn from the rows of `benchmarks.model.quality`."""

from collections.abc import Sequence
from typing import Any

from benchmarks.lib.rows import table

Rows = list[dict[str, Any]]

SPLITS = ("held_out", "seen")
ATTRIBUTES = ("colour", "shape", "size", "motion", "background")


def in_quality(name: str) -> bool:
    """Whether `quality` draws a row of this name, or needs it."""
    return name.startswith(SPLITS) or in_vae(name)


def in_steps(name: str) -> bool:
    """Whether `steps` draws a row of this name."""
    return name.startswith("steps ")


def in_vae(name: str) -> bool:
    """Whether `vae` draws a row of this name."""
    return name == "vae"


def quality(rows: Rows) -> str:
    """What the samples show of what was asked for, and how well."""
    samples = [row for row in with_detail_of_vae(rows) if not in_vae(row["row"])]
    samples.sort(key=lambda row: (-row["steps"], row["row"]))
    shown = [
        {
            "combinations": row["row"].split()[0].replace("_", " "),
            "steps": row["steps"],
            "prompts": row["prompts"],
            "all at once": row["accuracy"],
            **{name: row.get(f"accuracy_{name}") for name in ATTRIBUTES},
            "render (dB)": row["render_db"],
            "detail": row["detail"],
            "of the VAE's": row.get("detail_of_vae"),
            "s a video": row.get("seconds"),
        }
        for row in samples
    ]
    return of_one_model(rows, shown)


def steps(rows: Rows) -> str:
    """The same prompts over fewer and fewer steps."""
    shown = [
        {
            "Euler steps": row["steps"],
            "accuracy": row["accuracy"],
            "detail": row["detail"],
            "render (dB)": row["render_db"],
        }
        for row in sorted(rows, key=lambda row: row["steps"])
    ]
    return of_one_model(rows, shown)


def training(rows: Rows) -> str:
    """Held-out samples as the model sees more clips."""
    shown = [
        {
            "clips seen": row["clips"],
            "prompts": row["prompts"],
            "all at once": row["accuracy"],
            **{name: row.get(f"accuracy_{name}") for name in ATTRIBUTES},
            "render (dB)": row["render_db"],
            "detail": row["detail"],
            "excess error": row["excess"],
        }
        for row in sorted(rows, key=lambda row: row["clips"])
    ]
    return table(shown, list(shown[0]))


def vae(rows: Rows) -> str:
    """What the VAE keeps of rendered videos."""
    shown = [
        {
            "held-out videos": row["prompts"],
            "PSNR (dB)": row["psnr"],
            "SSIM": row["ssim"],
            "detail": row["detail"],
        }
        for row in rows
    ]
    return of_one_model(rows, shown)


def with_detail_of_vae(rows: Sequence[dict[str, Any]]) -> Rows:
    """The rows, those of samples with their detail over that of the same VAE alone."""
    alone = {row["weights"]["vae"]: row["detail"] for row in rows if in_vae(row["row"])}

    def joined(row: dict[str, Any]) -> dict[str, Any]:
        detail = alone.get(row["weights"]["vae"])
        if in_vae(row["row"]) or not detail:
            return row
        return {**row, "detail_of_vae": row["detail"] / detail}

    return [joined(row) for row in rows]


def of_one_model(rows: Rows, shown: Rows) -> str:
    """The table of what is shown. ValueError if the rows are of different weights."""
    known: dict[str, str] = {}
    for row in rows:
        for part, fingerprint in row["weights"].items():
            if known.setdefault(part, fingerprint) != fingerprint:
                raise ValueError(
                    f"rows of one table are of one model, but {row['row']!r} is of the "
                    f"{part} {fingerprint} and others are of {known[part]}: measure "
                    f"them again with `python -m benchmarks.{row['benchmark']}`"
                )
    return table(shown, list(shown[0]))
