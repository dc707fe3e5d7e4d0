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
    "reuse_memory": PageTable(
        "benchmarks.tokens.memory",
        "reuse_memory",
        columns("arguments_gib", "temporary_gib", "total_gib", "chip_gib"),
    ),
}
