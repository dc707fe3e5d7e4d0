"""Tables of speed against other libraries, of commands, conversion, TPU compilation."""

from benchmarks.lib.tables import PageTable, columns, named

BESIDE = columns("seconds", "baseline_seconds", "ratio", "error")
DENOISE, MAXDIFFUSION = "benchmarks.speed.denoise", "benchmarks.speed.maxdiffusion"
SIZES = named(lambda name: name.startswith(("forward_", "run_")))
TABLES = {
    "diffusers": PageTable(DENOISE, "denoise", BESIDE, SIZES),
    "diffusers_avx2": PageTable(DENOISE, "denoise_avx2", BESIDE, SIZES),
    "maxdiffusion": PageTable(MAXDIFFUSION, "maxdiffusion", BESIDE),
    "maxdiffusion_avx2": PageTable(MAXDIFFUSION, "maxdiffusion_avx2", BESIDE),
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
