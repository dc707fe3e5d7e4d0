"""The command line as a process of its own."""

import subprocess
import sys


def run(*arguments):
    command = [sys.executable, "-m", "chorus_jax", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_status_of_the_command_is_that_of_the_process(tmp_path):
    done = run("info")
    assert done.returncode == 0 and "chorus_jax" in done.stdout
    bad = run("generate", "a circle", "--out", str(tmp_path / "video.txt"))
    assert bad.returncode == 1 and bad.stderr.startswith("chorus: ")
    assert run("nothing").returncode == 2
