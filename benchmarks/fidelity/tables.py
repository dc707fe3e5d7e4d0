"""The table of how near hits are to full videos, and what they lose."""

from benchmarks.lib.tables import PageTable, columns, with_steps

TABLES = {
    "fidelity": PageTable(
        "benchmarks.calibrate.fidelity",
        "calibrate_fidelity",
        columns("psnr", "ssim", "accuracy_changed_loss", "error", row=with_steps),
    )
}
