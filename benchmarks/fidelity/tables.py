"""The table of the fidelity of hits to full runs, and of their losses."""

from benchmarks.lib.tables import PageTable, columns, with_steps

TABLES = {
    "fidelity": PageTable(
        "benchmarks.calibrate.fidelity",
        "calibrate_fidelity",
        columns("psnr", "ssim", "accuracy_changed_loss", "error", row=with_steps),
    )
}
