"""Runs the parts that need a GPU or TPU, the most important first, in a given time.

    python -m benchmarks.accelerator                         # 9 minutes, into $OUT
    python -m benchmarks.accelerator --out DIR --minutes 14
    python -m benchmarks.accelerator --parts kernels train   # only these
    python -m benchmarks.accelerator --rehearse --out DIR    # tiny, on a CPU

    kernel_tests  the tests of the device's own kernels
    loop_tests    the equality tests of the denoising loop
    steps         region steps and token budgets of Wan 1.3B, against full steps
    serve         `chorus generate` and hits of the shipped model, against full runs
    kernels       both kernels at the shapes of Wan 1.3B, against cuDNN and XLA
    train         the small model, with the shipped VAE, on clips that are drawn on
                  the device; then distillation, samples and their scores

Every part runs in its own process, which is terminated when its time is up; files that
it has saved are kept, and the next part begins. The folder has at most eight files of
at most 15 MiB: log.txt, parts.jsonl, accelerator.jsonl (rows of steps, serve and
kernels), video.png, quality.jsonl, samples.png and the trained model in pieces (`cat
model.tar.* | tar x`). Needs neither .git nor a network, nor PyAV, ftfy, ScaNN or
beartype. To split 15 minutes over two calls: first `--parts kernel_tests loop_tests
steps serve kernels --minutes 8`, then `--parts train --minutes 6`.
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.accelerator.parts import NAMES, backend, parts
from benchmarks.accelerator.running import run_all


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--out", type=Path, help="folder of all results; $OUT if unset")
    top.add_argument("--minutes", type=float, default=9.0, help="for all parts")
    top.add_argument("--parts", nargs="+", choices=NAMES, default=list(NAMES))
    top.add_argument("--rehearse", action="store_true", help="tiny sizes, any device")
    return top


def main() -> int:
    """Runs the parts; returns 0 if all succeeded."""
    options = parser().parse_args()
    out = options.out or os.environ.get("OUT")
    if out is None:
        parser().error("name a folder with --out, or in the environment as OUT")
    folder = Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    platform = backend()
    if platform == "cpu" and not options.rehearse:
        parser().error("this machine has no GPU or TPU; --rehearse runs on a CPU")
    seconds = 60 * options.minutes
    chosen = parts(folder, seconds, platform, options.rehearse, options.parts)
    return 0 if run_all(chosen, folder) else 1


if __name__ == "__main__":
    sys.exit(main())
