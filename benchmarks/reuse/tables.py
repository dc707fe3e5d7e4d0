"""The tables of small benchmarks of reuse: losses, regions, look-up, misses, wrong
sources, cold starts."""

from statistics import median
from typing import Any

from benchmarks.lib.rows import table
from benchmarks.model.quality_tables import of_one_model

Rows = list[dict[str, Any]]


def in_look(row: dict[str, Any]) -> bool:
    """Whether a row of calibrate is of pairs, over a ladder of reuse."""
    return "lost_at" in row


def look(rows: Rows) -> str:
    """What reuse loses of an attribute in which prompts differ, by how much it takes
    over; and how far the videos differ beyond each region, least, median and most."""
    rungs = dict.fromkeys(rung for row in rows for rung in row["lost_at"])
    shown = [
        {
            "steps": row["steps"],
            "differs": row["row"],
            "pairs": row["pairs"],
            "right in full": row.get("right"),
            **{f"to {rung}": row["lost_at"].get(rung) for rung in rungs},
            "mean": row["lost"],
            "sensitivity": row["sensitivity"],
            **{
                f"beyond {rung}": " / ".join(
                    f"{far(values):.2f}" for far in (min, median, max)
                )
                for rung, values in row.get("beyond", {}).items()
                if values
            },
        }
        for row in rows
    ]
    return of_one_model(rows, shown)


def in_limits(row: dict[str, Any]) -> bool:
    """Whether a row of calibrate is of a limit of regions."""
    return row["split"] == "limit"


def limits(rows: Rows) -> str:
    """What a region loses beside all tokens run, by how far the videos may differ
    beyond it."""
    shown = [
        {
            "steps": row["steps"],
            "limit": row["limit"],
            "targets": row["targets"],
            "equivalents": row["equivalents"],
            **lost(row),
        }
        for row in rows
    ]
    return of_one_model(rows, shown)


def lost(row: dict[str, Any]) -> dict[str, Any]:
    """What the hits of a row of calibrate lose, but for all at once."""
    return {
        "changed lost": row.get("accuracy_changed_loss"),
        "of what it does well": row.get("changed_reliable_loss"),
        "detail lost": row["detail_loss"],
    }


def in_calibrated(row: dict[str, Any]) -> bool:
    """Whether a row of calibrate is of a policy that was chosen, over hits."""
    return row["row"] == "chosen" and row["over"] != "all"


def calibrated(rows: Rows) -> str:
    """What a calibrated policy does on the targets that it was searched on, and on
    fresh ones."""
    shown = [
        {
            "steps": row["steps"],
            "targets": f"{row['split']}, {row['over']}",
            "count": row["targets"],
            "equivalents": row["equivalents"],
            "all at once lost": row["accuracy_loss"],
            **lost(row),
        }
        for row in rows
    ]
    return of_one_model(rows, shown)


def regions(rows: Rows) -> str:
    """A region step beside a full step; the share run has halo and sampled tiles as
    far as they are run."""
    shown = [
        {
            "context": row.get("context"),
            "active share": row["active"],
            "of it halo": row.get("halo"),
            "share run": row.get("computed"),
            "tokens": row["tokens"],
            "region step (s)": row["seconds"],
            "full step (s)": row["baseline_seconds"],
            "ratio": row["ratio"],
            "over the share": row["over_share"],
        }
        for row in rows
    ]
    return table(shown, list(shown[0]))


def look_up(rows: Rows) -> str:
    """Finding and loading a source of Wan 1.3B's size."""
    shown = [
        {
            "records": row["row"],
            "entries": row["entries"],
            "look-up (s)": row["look_up_seconds"],
            "load (s)": row["load_seconds"],
            "of a 4-step request": row["share"],
        }
        for row in rows
    ]
    return table(shown, list(shown[0]))


def miss(rows: Rows) -> str:
    """A request that finds nothing beside one without a cache."""
    where = {"miss": "in memory", "miss_folder": "in a folder"}
    shown = [
        {
            "steps": row["steps"],
            "cache": where[row["row"]],
            "entries": row["entries"],
            "miss (s)": row["seconds"],
            "no cache (s)": row["baseline_seconds"],
            "ratio": row["ratio"],
            "admission (s)": row["admit_seconds"],
        }
        for row in rows
    ]
    return of_one_model(rows, shown)


def wrong_sources(rows: Rows) -> str:
    """Sources that mislead, by the cosine alone and with the second look, with our
    tiers and with NIRVANA's."""
    theirs = "nirvana_"
    shown = [
        {
            "steps": row["steps"],
            "source": row["row"],
            "tiers": "NIRVANA's" if row["look"].startswith(theirs) else "ours",
            "by": row["look"].removeprefix(theirs).replace("_", " "),
            "from": row["least"],
            "pairs": row["pairs"],
            "mean cosine": row["cosine"],
            "hits": row["hits"],
            "harmful": row["harmful"],
            "changed right": row["accuracy_changed"],
            "in full": row["accuracy_changed_full"],
        }
        for row in rows
    ]
    return of_one_model(rows, shown)


def cold_start(rows: Rows) -> str:
    """The first window of requests and the last one."""
    shown = []
    for steps in dict.fromkeys(row["steps"] for row in rows):
        of = [row for row in rows if row["steps"] == steps]
        for row in (of[0], of[-1]):
            shown.append(
                {
                    "steps": steps,
                    "requests until": row["until"],
                    "hits": row["hit_rate"],
                    "mean (s)": row["seconds"],
                    "no cache (s)": row["baseline_seconds"],
                    "ratio": row["ratio"],
                    "accuracy": row["accuracy"],
                    "no cache": row["baseline_accuracy"],
                }
            )
    return of_one_model(rows, shown)


def cold_start_prompts(rows: Rows) -> str:
    """The last window of each file and order."""
    shown = [
        {
            "prompts": row["row"],
            "order": row["order"],
            "requests": row["prompts"],
            "same text before": row["repeats"],
            "cosine ≥ 0.8": row["cosine_80"],
            "score ≥ 0.8": row["score_80"],
            "score ≥ 0.9": row["score_90"],
        }
        for row in rows
        if row["until"] == row["prompts"]
    ]
    return table(shown, list(shown[0]))
