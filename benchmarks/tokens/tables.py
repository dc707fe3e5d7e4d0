"""The tables of token budgets."""

from benchmarks.lib.tables import PageTable, columns

SCRIPT = "benchmarks.tokens.budgets"
OTHER_WAYS = ("hicache", "staggered")  # their times are in the rows alone

TABLES = {
    "token_seconds": PageTable(
        SCRIPT,
        "tokens",
        columns("tokens", "equivalents", "ratio", "psnr", "ssim"),
        lambda row: "ratio" in row and not row["row"].endswith(OTHER_WAYS),
    ),
    "token_quality": PageTable(
        SCRIPT,
        "tokens",
        columns("equivalents", "accuracy", "detail", "psnr", "psnr_error"),
        lambda row: "prompts" in row,
    ),
    "token_fidelity": PageTable(
        "benchmarks.tokens.fidelity",
        "tokens_fidelity",
        columns("equivalents", "psnr", "psnr_error", "ssim"),
    ),
    "token_memory": PageTable(
        "benchmarks.tokens.memory",
        "reuse_memory",
        columns("total_gib", "chip_gib"),
    ),
}
