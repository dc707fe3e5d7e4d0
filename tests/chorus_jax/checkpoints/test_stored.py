"""Arrays on disk: blocks, digests, damage, memory."""

import hashlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.checkpoints import stored
from chorus_jax.checkpoints.models import write_arrays
from chorus_jax.checkpoints.stored import (
    StreamedArray,
    block_shape,
    boxes,
    digest,
    open_arrays,
)

shapes = st.lists(st.integers(1, 7), max_size=4).map(tuple)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(stored, "BLOCK", 40)


def streamed(value):
    return StreamedArray(value.shape, value.dtype, lambda box: value[box])


@given(shapes, st.sampled_from(["float32", "bfloat16", "float64"]))
def test_blocks_in_order_are_the_array_in_c_order(shape, dtype):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "BLOCK", 40)
        value = np.arange(np.prod(shape, dtype=int)).reshape(shape)
        value = value.astype(jnp.dtype(dtype))
        blocks = [value[box] for box in boxes(shape, value.dtype)]
    assert all(block.nbytes <= 40 for block in blocks)
    np.testing.assert_array_equal(
        np.concatenate([block.ravel() for block in blocks]), value.ravel()
    )


@pytest.mark.parametrize(
    ("shape", "block"),
    [((40, 5120, 13824), (1, 2560, 13824)), ((40, 5120), (40, 5120)), ((), ())],
)
def test_block_shape(shape, block, monkeypatch):
    monkeypatch.setattr(stored, "BLOCK", 128 * 2**20)
    assert block_shape(shape, 2) == block


def test_orbax_restores_what_was_streamed(tmp_path):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.P(None, "x"))
    value = np.arange(80, dtype=np.float32).reshape(5, 16).astype(ml_dtypes.bfloat16)
    scalar = np.asarray(2.5, np.float32)
    arrays = {"a.kernel": streamed(value), "b": streamed(scalar)}
    digests = write_arrays(tmp_path / "x", arrays)
    wanted = {
        "a.kernel": jax.ShapeDtypeStruct((5, 16), jnp.bfloat16, sharding=sharding),
    }
    wanted["b"] = jax.ShapeDtypeStruct(
        (), jnp.float32, sharding=jax.sharding.NamedSharding(mesh, jax.P())
    )
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "x", wanted)
    assert restored["a.kernel"].sharding == sharding
    np.testing.assert_array_equal(np.asarray(restored["a.kernel"]), value)
    np.testing.assert_array_equal(np.asarray(restored["b"]), scalar)
    assert digests["a.kernel"] == hashlib.sha256(value.tobytes()).hexdigest()
    found = open_arrays(tmp_path / "x")
    assert {name: digest(array) for name, array in found.items()} == digests


@pytest.mark.parametrize("harm", ["remove", "truncate"])
def test_damaged_file(tmp_path, harm):
    value = np.ones((5, 16), np.float32)
    write_arrays(tmp_path / "x", {"a": streamed(value)})
    block = tmp_path / "x" / "a" / "2.0"
    block.unlink() if harm == "remove" else block.write_bytes(block.read_bytes()[:-4])
    with pytest.raises(ValueError, match="a is damaged .* truncated"):
        digest(open_arrays(tmp_path / "x")["a"])


MEMORY = """
import re, sys
import numpy as np
from chorus_jax.checkpoints import stored
from chorus_jax.checkpoints.models import write_arrays
from chorus_jax.checkpoints import StreamedArray, open_arrays, write_arrays, digest
from pathlib import Path
# Not ru_maxrss, which starts from that of the process that started this one.
status = Path("/proc/self/status")
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) / 1024
folder, layers = Path(sys.argv[1]), int(sys.argv[2])
shape = (layers, 4096, 4096)
def read(box):
    start, stop, _ = box[0].indices(layers)
    return np.full((stop - start, *shape[1:]), start, np.float32)[:, box[1]]
before = peak()
write_arrays(folder / "x", {"a": StreamedArray(shape, np.dtype("float32"), read)})
digest(open_arrays(folder / "x")["a"])
print(peak() - before)
"""


@pytest.mark.parametrize(
    "layers", [8, pytest.param(32, marks=pytest.mark.slow)], ids=["0.5 GiB", "2 GiB"]
)
def test_memory_does_not_grow_with_the_array(tmp_path, layers):
    command = [sys.executable, "-c", MEMORY, str(tmp_path), str(layers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 450
