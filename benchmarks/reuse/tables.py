"""The tables of the savings and costs of reusing earlier requests."""

from benchmarks.lib.rows import table
from benchmarks.lib.tables import (
    PageTable,
    Row,
    Rows,
    check_one_model,
    columns,
    named,
    with_steps,
)
from benchmarks.reuse.arms import ARMS
from benchmarks.reuse.chorus_tables import (
    MAIN,
    SHORT,
    arms,
    by_kind,
    gains,
    of_arms,
    of_gains,
)
from benchmarks.reuse.wrong_pairs import KINDS

WHERE = {"miss": "in memory", "miss_folder": "in a folder"}


def region(row: Row) -> str:
    """The label of a row: its context, and its shares of the tiles."""
    context, halo = row.get("context"), row.get("halo")
    parts = [context] if context else []
    parts.append(f"{row['active']:g} active")
    return ", ".join([*parts, f"{halo:g} of it halo"] if halo else parts)


def cache(row: Row) -> str:
    """The label of a row: the steps of a request, and where its cache is."""
    return f"{row['steps']} steps, {WHERE[row['row']]}"


def windows(rows: Rows) -> str:
    """Draws the first and the last window of requests, per number of steps."""
    shown = []
    for steps in dict.fromkeys(row["steps"] for row in rows):
        same = [row for row in rows if row["steps"] == steps]
        shown += [same[0], same[-1]]
    name = lambda row: f"{row['steps']} steps, up to request {row['until']}"
    names = ("hit_rate", "ratio", "accuracy", "baseline_accuracy")
    return columns(*names, row=name)(shown)


def prompts(rows: Rows) -> str:
    """Draws the last window of each file and order."""
    last = [row for row in rows if row["until"] == row["prompts"]]
    name = lambda row: f"{row['row']}, {row['order']}, {row['prompts']}"
    return columns("repeats", "cosine_80", "score_80", "score_90", row=name)(last)


def wrong_sources(rows: Rows) -> str:
    """Draws counts of harmful hits: a line per kind of source, a column per look."""
    check_one_model(rows)
    looks = list(dict.fromkeys(row["look"] for row in rows))
    lines: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: (-row["steps"], KINDS.index(row["row"]))):
        line = lines.setdefault(with_steps(row), {"source": with_steps(row)})
        line[row["look"]] = f"{row['harmful']} of {row['hits']}"
    return table([*lines.values()], ["source", *looks])


CHORUS = "benchmarks.reuse.chorus"
SPEED = ("equivalents", "speedup_denoise", "speedup_total")
REGION_STEP = ("seconds", "ratio", "over_share", "once_seconds")
LOSS_ERROR = "accuracy_changed_loss_error"
RIGHT = ("equivalents", "speedup_denoise", "accuracy_changed", LOSS_ERROR)
HARM = (
    *("accuracy", "accuracy_loss", "accuracy_loss_error"),
    *("accuracy_shape", "accuracy_size"),
)
ALL_RIGHT = ("equivalents", "speedup_denoise", "accuracy", "accuracy_loss_error")
TABLES = {
    # In the README, which has no room for both; the page has 50 and 4 steps.
    "hits": PageTable(
        CHORUS,
        "chorus",
        by_kind(*SPEED, "accuracy_changed", LOSS_ERROR),
        of_arms(*SHORT, steps=(50,)),
    ),
    "changed": PageTable(
        CHORUS, "chorus", arms("changed", *RIGHT, "detail"), of_arms(*ARMS)
    ),
    "changed_all": PageTable(
        CHORUS, "chorus", arms("changed", *HARM), of_arms(*ARMS, steps=(50,))
    ),
    "reworded": PageTable(
        CHORUS, "chorus", arms("reworded", *ALL_RIGHT, "detail"), of_arms(*MAIN)
    ),
    "gains": PageTable(CHORUS, "chorus", gains, named(of_gains)),
    "regions": PageTable(
        "benchmarks.reuse.regions",
        "regions",
        columns(*REGION_STEP, row=region),
    ),
    "miss": PageTable(
        "benchmarks.reuse.miss",
        "miss",
        columns("seconds", "baseline_seconds", "ratio", "admit_seconds", row=cache),
    ),
    "wrong_sources": PageTable(
        "benchmarks.reuse.wrong_sources", "wrong_sources", wrong_sources
    ),
    "cold_start": PageTable("benchmarks.reuse.cold_start", "cold_start", windows),
    "cold_start_prompts": PageTable(
        "benchmarks.reuse.cold_start_prompts", "cold_start_prompts", prompts
    ),
}
