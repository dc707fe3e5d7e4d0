"""The tables of token budgets."""

from benchmarks.lib.tables import PageTable, columns

SCRIPT = "benchmarks.tokens.budgets"

TABLES = {
    "token_seconds": PageTable(
        SCRIPT,
        "tokens",
        columns("equivalents", "ratio", "psnr", "ssim"),
        lambda row: "ratio" in row,
    ),
}
