"""The table of attacks."""

from benchmarks.lib.tables import PageTable, columns

TABLES = {
    "reliability": PageTable(
        "benchmarks.reliability",
        "reliability",
        columns("tries", "lost", "wrong", "stuck"),
    ),
}
