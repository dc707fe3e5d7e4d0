"""All parts in tiny sizes, without packages that a machine with a GPU may lack."""

import importlib.util
import json
import os
import subprocess
import sys
import tarfile

import pytest

from benchmarks.accelerator.running import ROOT

DEVICES = "--xla_force_host_platform_device_count=1"  # the last flag wins
MISSING = ("av", "ftfy", "scann", "beartype", "torch")


def run(tmp_path, module, *options):
    """Runs a module without the packages in `MISSING`, with $OUT as `tmp_path`/out."""
    blocked = tmp_path / "blocked"
    blocked.mkdir(exist_ok=True)
    # What is not installed is missing already, and a module of its name might be found.
    for name in filter(importlib.util.find_spec, MISSING):
        (blocked / f"{name}.py").write_text(f"raise ImportError('{name} is missing')")
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {DEVICES}",  # compiles soon
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),  # for the second run
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(blocked),
        "OUT": str(tmp_path / "out"),
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-m", module, "--rehearse", *options]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-1000:]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_ends_well_and_leaves_what_it_measured(tmp_path):
    run(tmp_path, "benchmarks.accelerator", "--minutes", "14")
    out = tmp_path / "out"
    rows = [json.loads(x) for x in (out / "accelerator.jsonl").read_text().splitlines()]
    assert all(row["command"] for row in rows)
    steps, served, kernels = rows[:2], rows[2:-2], rows[-2:]
    assert [row["row"] for row in steps] == ["region", "hsa-25"]
    assert all(row["ratio"] > 0 for row in steps)
    assert [row["row"] for row in served] == ["serve full", "serve chorus"]
    assert all(row["speedup_denoise"] > 0 and row["accuracy"] >= 0 for row in served)
    assert all("ours_seconds" in row for row in kernels)
    assert (out / "video.png").exists()
    rows = [json.loads(x) for x in (out / "quality.jsonl").read_text().splitlines()]
    assert [row["row"] for row in rows] == ["transformer", "transformer_2step"]
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
    assert (out / "samples.png").exists()
    with tarfile.open(out / "model.tar.0") as tar:
        names = tar.getnames()
        tar.extractall(tmp_path / "made", filter="data")
    assert {"model/model.json", "flow/loss.jsonl"} < set(names)
    assert any(name.startswith("model/transformer_2step/") for name in names)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) <= 8 and all(path.parent == out for path in files)
    more, model = tmp_path / "more", tmp_path / "made" / "model"
    options = ("--out", str(more), "--weights", str(model))
    run(tmp_path, "benchmarks.accelerator.train", *options)
    with tarfile.open(more / "model.tar.0") as tar:
        names = set(tar.getnames())
    assert any(name.startswith("model/transformer_2step/") for name in names)
    assert "flow/loss.jsonl" not in names  # the given model was only distilled
