"""The thread that builds a searcher, at the end of a program that closes nothing."""

import subprocess
import sys

PROGRAM = """
import time
import numpy as np
from chorus_jax.inter_request.index import Rebuilds, ScannIndex, scann_index

class Slow:
    def __init__(self, vectors):
        time.sleep(0.5)
        print("built", flush=True)

scann_index.Searcher = Slow
index = ScannIndex(4, Rebuilds(least=3))
for i in range(3):
    index.add(str(i), np.eye(4, dtype=np.float32)[i])
"""


def test_a_program_ends_after_the_searcher_is_built():
    """Python aborts if it ends while a thread is within ScaNN."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "built\n", "")
