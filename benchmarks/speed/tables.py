"""Tables of speed: other libraries, commands, conversion, and compilation for TPUs."""

from benchmarks.lib.tables import PageTable, columns, named

BESIDE = columns("seconds", "baseline_seconds", "ratio", "error")
TABLES = {
    "diffusers": PageTable(
        "benchmarks.speed.denoise",
        "denoise",
        BESIDE,
        named(lambda name: name.startswith(("forward_", "run_"))),
    ),
    "maxdiffusion": PageTable("benchmarks.speed.maxdiffusion", "maxdiffusion", BESIDE),
    "command": PageTable(
        "benchmarks.speed.command",
        "command",
        columns("cold_seconds", "seconds", "spread", "runs"),
    ),
    "aot": PageTable(
        "benchmarks.speed.aot",
        "aot",
        columns("mesh", "total_gib", "estimate_gib", "chip_gib"),
    ),
    "conversion": PageTable(
        "benchmarks.speed.conversion",
        "conversion",
        columns("seconds", "written_gb", "peak_gib", "limit_gib"),
    ),
}
