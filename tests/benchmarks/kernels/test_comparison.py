"""Both kernels compile for real TPUs at real shapes; which rows there are."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.kernels import cases as kernel_cases
from benchmarks.kernels import comparison as kernels
from benchmarks.kernels import errors as kernel_errors
from benchmarks.kernels import tables as kernel_tables
from benchmarks.kernels import timing as kernel_timing
from kernels_pallas import dispatch
from kernels_pallas.masked_region_attention.api import masked_region_attention
from kernels_pallas.masked_region_attention.reference import Fresh

KERNELS = {"region", "cross"}
CASES = {case.name: case for case in kernel_cases.CASES}


@pytest.mark.parametrize(
    "name, generation",
    [
        ("region 1.3b 480p 0.25", "v5e"),
        ("region 14b 720p 0.5", "v4"),
        ("region 1.3b 720p 0.1", "tpu7x"),
        ("cross 14b 720p 1 512 words", "v6e"),
        ("cross 1.3b 480p 0.25 128 words", "v5p"),
    ],
)
def test_compiles_for_a_tpu(name, generation):
    pytest.importorskip("libtpu", reason="needs libtpu: Linux on x86-64")
    from benchmarks.kernels import aot as kernel_aot

    case = CASES[name]
    with kernel_aot.device_mesh(generation) as mesh:
        ours = kernel_cases.functions(case)["ours"]
        operands = kernel_cases.shapes(case)
        program, found = kernel_aot.compiled(
            ours, kernel_aot.row_major(mesh), *operands, donate=case.donated
        )
    assert "tpu_custom_call" in program.as_text()
    # The default limit of what a kernel may have on the chip.
    assert 0 < found["vmem_mib"] < 16
    # Written in place: no copy of a buffer. Tokens in a row are other memory than the
    # same in tiles of 195.
    if case.kernel == "region" or case.share == 1:
        assert found["temporary_mib"] < 1


def test_rows_are_chosen_by_their_words():
    names = ["region 1.3b 480p 0.1 v5e", "cross 1.3b 480p 0.1 v5e"]
    assert kernels.selected(names, ["region", "v5e"], missing=False) == names[:1]
    assert kernels.selected(names, [], missing=False) == names
    with pytest.raises(SystemExit, match="no row has all these.* cross, region"):
        kernels.selected(names, ["region", "v9"], missing=False)


@pytest.mark.parametrize("words, model", [([], "1.3b"), (["14b", "region"], "14b")])
def test_what_is_timed_is_the_small_model_unless_rows_are_named(
    words, model, monkeypatch
):
    timed = []
    monkeypatch.setattr(kernel_timing, "time_all", timed.extend)
    monkeypatch.setattr(kernels, "enable_cache", lambda: None)
    monkeypatch.setattr("sys.argv", ["kernels", "--rows", *words])
    kernels.main()
    assert {case.model for case in timed} == {model}
    assert {case.kernel for case in timed} == ({"region"} if words else KERNELS)


@pytest.mark.parametrize(
    "dtype, width, generation",
    [("bfloat16", 64, "v5p"), ("float32", 128, "v4"), ("float32", 64, "v5e")],
)
@pytest.mark.parametrize("everything", [False, True], ids=["bare", "everything"])
def test_other_heads_and_all_options_compile(dtype, width, generation, everything):
    pytest.importorskip("libtpu", reason="needs libtpu: Linux on x86-64")
    from benchmarks.kernels import aot as kernel_aot

    count, size, few, heads = 168, 195, 42, 1536 // width
    low = lambda *shape: jax.ShapeDtypeStruct((1, *shape), jnp.dtype(dtype))
    whole, new = low(count, size, 1536), low(few, size, 1536)
    ids = jax.ShapeDtypeStruct((1, few), jnp.int32)
    bias = jax.ShapeDtypeStruct((1, count, size), jnp.float32)

    def run(query, key, value, out, new, ids, bias):
        split = [kernel_cases.split([x], heads)[0] for x in (query, key, value, out)]
        options = {"out": split.pop()}
        if everything:
            fresh = Fresh(*kernel_cases.split([new, new], heads), ids)
            options |= {"fresh": fresh, "bias": bias, "listed": ids, "logsumexp": True}
        return masked_region_attention(*split, ids, **options)

    with kernel_aot.device_mesh(generation) as mesh:
        place = kernel_aot.replicated(mesh)
        operands = (whole, whole, whole, whole, new, ids, bias)
        found = kernel_aot.compiled(run, place, *operands)[1]
    assert 0 < found["vmem_mib"] < 16


@pytest.fixture(params=["region", "cross"])
def small(request, monkeypatch):
    """A case of a tiny model: four tiles of six tokens, two of them active."""
    tiny = SimpleNamespace(heads=2, width=32, tile=(1, 2, 3))
    monkeypatch.setitem(kernel_cases.MODELS, "tiny", tiny)
    monkeypatch.setitem(kernel_cases.GRIDS, "tiny", (1, 4, 6))
    text = 0 if request.param == "region" else 5
    return kernel_cases.Case(request.param, "tiny", "tiny", 0.5, text)


def test_what_is_compared_is_the_same_function(small):
    operands = [
        jax.random.normal(jax.random.key(i), x.shape, jnp.float32)
        for i, x in enumerate(kernel_cases.shapes(small)[:-1])
    ]
    active = jnp.array([[3, 0]])
    with dispatch.forced("reference"):
        ours = kernel_cases.functions(small)["ours"](*operands, active)
    plain = kernel_cases.functions(small)["xla"](*operands, active)
    assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, plain)
    for found, want in zip(*map(jax.tree.leaves, (ours, plain)), strict=True):
        assert found.shape[-1] == 32
        np.testing.assert_allclose(found, want, atol=1e-5)


def test_what_is_wrong_in_an_active_tile_is_not_timed(small):
    want, right = kernel_errors.reference(small), kernel_cases.functions(small)["ours"]

    def error(scale=1.0, leaf=-1):
        def function(*operands):
            """Ours, the active tiles of one result multiplied."""
            leaves, tree = jax.tree.flatten(right(*operands))
            of_tile = jnp.ones(4, leaves[leaf].dtype).at[operands[-1]].set(scale)
            tiles = leaves[leaf].reshape(4, 6, 32) * of_tile[:, None, None]
            leaves[leaf] = tiles.reshape(leaves[leaf].shape)
            return jax.tree.unflatten(tree, leaves)

        return kernel_errors.error(small, jax.jit(function), want)

    assert error() < kernel_timing.TOLERANCE / 3
    for leaf in range(len(jax.tree.leaves(want))):
        assert error(0.0, leaf) == 1
        assert error(0.9, leaf) > kernel_timing.TOLERANCE
        assert np.isnan(error(np.nan, leaf))


def test_tables_have_a_line_a_case_and_a_column_a_tpu():
    rows = [
        {"row": f"{case} {tpu}", "ratio": ratio, "vmem_mib": ratio}
        for case in ("cross 14b 720p 0.5 128 words", "region 14b 720p 0.5")
        for tpu, ratio in (("v6e", 0.5), ("v4", 2.0))
    ]
    assert all(kernel_tables.in_cases(row["row"]) for row in rows)
    assert kernel_tables.cases(rows).splitlines() == [
        "| kernel | Wan | active share | v4 | v6e | VMEM (MiB) |",
        "| --- | --- | --- | --- | --- | --- |",
        "| region | 14b 720p | 0.5 | 2 | 0.5 | 2 |",
        "| cross 128 words | 14b 720p | 0.5 | 2 | 0.5 | 2 |",
    ]


def test_tables_of_steps_and_their_memory():
    step = {"row": "step dit 14b 720p 0.5 v6e", "active": 0.5, "cycles": 8}
    steps = kernel_tables.steps([{**step, "ratio": 0.6}, step])
    assert steps.splitlines()[2:] == [
        "| 14b 720p v6e | 0.5 | 8 | 0.6 | 1.2 |",
        "| 14b 720p v6e | 0.5 | 8 |  |  |",
    ]
    name = "memory dit 1.3b 720p 0.25 plain v5p"
    row = {"row": name, "active": 0.25, "temporary_mib": 2048.0, "fits": False}
    assert kernel_tables.memory([row]).splitlines()[2:] == [
        "| 1.3b 720p v5p | 0.25 | plain | 2 |  | no |"
    ]
    assert kernel_tables.in_steps(step["row"]) and kernel_tables.in_memory(name)


def test_cycles_that_the_compiler_does_not_know_are_not_added_up():
    from benchmarks.kernels import aot as kernel_aot

    assert kernel_aot.cycles('"estimated_cycles":"5" "estimated_cycles":"7"', {}) == (
        (12, 0)
    )
    unknown = f'"estimated_cycles":"{2**63 - 1}" "estimated_cycles":"7"'
    assert kernel_aot.cycles(unknown, {}) is None
