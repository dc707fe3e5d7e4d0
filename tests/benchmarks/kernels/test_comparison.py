"""Both kernels compile for real TPUs at real shapes; the selection of rows."""

import subprocess
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
from benchmarks.lib import rows
from kernels_pallas import dispatch
from kernels_pallas.masked_region_attention.api import masked_region_attention
from kernels_pallas.masked_region_attention.reference import Fresh

KERNELS = {"region", "own", "cross"}
CASES = {case.name: case for case in kernel_cases.CASES}
# What a kernel may have on the chips that have the least.
VMEM = 16


@pytest.mark.parametrize(
    "name, generation",
    [
        ("region 1.3b 480p 0.25", "v5e"),
        pytest.param("region 14b 720p 0.25", "v4", marks=pytest.mark.slow),
        pytest.param("region 1.3b 720p 1", "tpu7x", marks=pytest.mark.slow),
        ("own 1.3b 480p 0.25", "v4"),
        pytest.param("cross 14b 720p 1 512 words", "v6e", marks=pytest.mark.slow),
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
            ours, kernel_aot.row_major(mesh), *operands
        )
    assert "tpu_custom_call" in program.as_text()
    assert 0 < found["vmem_mib"] < VMEM
    # Nothing is gathered or laid out anew; held keys and values are copied, for their
    # fresh tiles are written and the caller keeps them.
    held = sum(x.size * x.dtype.itemsize for x in operands[1:3]) / kernel_aot.MIB
    copied = held if case.kernel == "region" else 0
    assert found["temporary_mib"] < 1.1 * copied + 1


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
    "dtype, width, size, generation",
    [
        ("bfloat16", 64, 195, "v5p"),
        pytest.param("float32", 128, 195, "v4", marks=pytest.mark.slow),
        pytest.param("float32", 64, 195, "v5e", marks=pytest.mark.slow),
        # The largest tiles that are not refused.
        pytest.param("bfloat16", 128, 1024, "v4", marks=pytest.mark.slow),
        pytest.param("float32", 64, 512, "v4", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("everything", [False, True], ids=["bare", "everything"])
def test_other_heads_and_all_options_compile(
    dtype, width, size, generation, everything
):
    pytest.importorskip("libtpu", reason="needs libtpu: Linux on x86-64")
    from benchmarks.kernels import aot as kernel_aot

    count, few, heads = 168, 42, 1536 // width
    low = lambda *shape: jax.ShapeDtypeStruct((1, *shape), jnp.dtype(dtype))
    whole, new = low(count, size, 1536), low(few, size, 1536)
    ids = jax.ShapeDtypeStruct((1, few), jnp.int32)
    bias = jax.ShapeDtypeStruct((1, count, size), jnp.float32)

    def run(query, key, value, new, ids, bias):
        split = kernel_cases.split((query, key, value), heads)
        if not everything:
            return masked_region_attention(*split).out
        fresh = Fresh(*kernel_cases.split([new, new], heads), ids)
        options = {"fresh": fresh, "bias": bias, "logsumexp": True}
        return masked_region_attention(*split, ids, **options)

    with kernel_aot.device_mesh(generation) as mesh:
        place = kernel_aot.replicated(mesh)
        operands = (whole, whole, whole, new, ids, bias)
        found = kernel_aot.compiled(run, place, *operands)[1]
    assert 0 < found["vmem_mib"] < VMEM


@pytest.fixture(params=["region", "own", "cross"])
def small(request, monkeypatch):
    """A case of a tiny model: four tiles of six tokens, two of them active."""
    tiny = SimpleNamespace(heads=2, width=32, tile=(1, 2, 3))
    monkeypatch.setitem(kernel_cases.MODELS, "tiny", tiny)
    monkeypatch.setitem(kernel_cases.GRIDS, "tiny", (1, 4, 6))
    text = 5 if request.param == "cross" else 0
    return kernel_cases.Case(request.param, "tiny", "tiny", 0.5, text)


def test_what_is_compared_is_the_same_function(small):
    operands = kernel_errors.operands(small, jax.random.key(0))
    single = [x if x.dtype == jnp.int32 else x.astype(jnp.float32) for x in operands]
    functions = kernel_cases.functions(small)
    with dispatch.forced("reference"):
        ours = functions["ours"](*single)
    for name in ("plain", "xla"):
        other = functions[name](*single)
        assert ours.shape == other.shape
        np.testing.assert_allclose(ours, other, atol=1e-5)


def test_the_error_is_that_of_the_worst_number(small):
    want, right = kernel_errors.reference(small), kernel_cases.functions(small)["ours"]

    def error(scale=1.0):
        def function(*operands):
            """Ours, the last token's outputs multiplied."""
            out = right(*operands)
            flat = out.reshape(-1, out.shape[-1])
            return flat.at[-1].multiply(scale).reshape(out.shape)

        return kernel_errors.error(small, jax.jit(function), want)

    assert error() < kernel_timing.TOLERANCE / 3
    assert error(0.5) > kernel_timing.TOLERANCE
    assert np.isnan(error(np.nan))


@pytest.fixture
def timed_rows(small, monkeypatch):
    """A function that times cases as on an accelerator; returns the rows written."""
    written = []
    monkeypatch.setattr(rows, "update", lambda name, new, key: written.extend(new))
    monkeypatch.setattr(kernel_timing, "matrix_peak", lambda: 1e12)
    monkeypatch.setattr(kernel_timing, "memory_peak", lambda: 1e12)
    monkeypatch.setattr(kernel_timing, "ROUNDS", 2)
    monkeypatch.setattr(kernel_timing.dispatch, "choose", lambda *_: "gpu_interpreted")

    def time(*cases):
        kernel_timing.time_all(cases)
        return written

    return SimpleNamespace(time=time, written=written)


def test_a_row_has_its_figures(small, timed_rows):
    [row] = timed_rows.time(small)
    baseline = "xla" if small.kernel == "cross" else "plain"
    assert row["row"] == small.name and row["implementation"] == "gpu_interpreted"
    assert row["baseline"] == baseline and row["seconds"] > 0 and row["ratio"] > 0
    assert row["error"] < kernel_timing.TOLERANCE and "failed" not in row


@pytest.mark.parametrize(
    "fault, why",
    [
        (lambda out: out * 2, "error above 0.03"),
        (jax.errors.JaxRuntimeError("out of memory\nmore"), "out of memory"),
    ],
    ids=["wrong", "raises"],
)
def test_a_row_that_fails_does_not_cost_the_next(
    small, timed_rows, monkeypatch, fault, why
):
    original, asked = kernel_timing.functions, []

    def functions(case):
        asked.append(case)
        found = original(case)
        if len(asked) > 1:
            return found
        if isinstance(fault, Exception):
            raise fault
        ours = found["ours"]
        return {**found, "ours": lambda *operands: fault(ours(*operands))}

    monkeypatch.setattr(kernel_timing, "functions", functions)
    with pytest.raises(SystemExit, match=f"1 rows failed: {small.name}"):
        timed_rows.time(small, small)
    first, second = timed_rows.written
    assert first["failed"] == why and "seconds" not in first
    assert "failed" not in second and second["seconds"] > 0


@pytest.mark.parametrize("around", ["nothing", "another repository", "no git"])
def test_without_its_history_the_commit_is_unknown(tmp_path, monkeypatch, around):
    copy = tmp_path / "benchmarks" / "lib" / "rows.py"
    copy.parent.mkdir(parents=True)
    copy.write_text("")
    if around == "another repository":
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    if around == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(rows, "__file__", str(copy))
    assert rows.commit() == "unknown"


def test_tables_have_a_line_a_case_and_a_column_a_tpu():
    lines = [
        {"row": f"{case} {tpu}", "ratio": ratio, "vmem_mib": ratio}
        for case in ("cross 14b 720p 0.5 128 words", "region 14b 720p 0.5")
        for tpu, ratio in (("v6e", 0.5), ("v4", 2.0))
    ]
    assert all(kernel_tables.in_cases(row["row"]) for row in lines)
    assert kernel_tables.cases(lines).splitlines() == [
        "| kernel | Wan | active share | v4 | v6e | VMEM (MiB) |",
        "| --- | --- | --- | --- | --- | --- |",
        "| region | 14b 720p | 0.5 | 2 | 0.5 | 2 |",
        "| cross 128 words | 14b 720p | 0.5 | 2 | 0.5 | 2 |",
    ]


def test_tables_of_steps_and_their_memory():
    step = {
        "row": "step dit 14b 720p 0.5 v6e",
        "active": 0.5,
        "region": "plain",
        "kernel_cycles": 10,
        "plain_cycles": 8,
    }
    unknown = {**step, "region": "tpu", "plain_cycles": None}
    steps = kernel_tables.steps(
        [{**step, "ratio": 0.6}, {**step, "region": "tpu"}, unknown]
    )
    assert steps.splitlines()[2:] == [
        "| 14b 720p v6e | 0.5 | plain | 0.6 | 0.8 |",
        "| 14b 720p v6e | 0.5 | tpu |  | 1.25 |",
        "| 14b 720p v6e | 0.5 | tpu |  |  |",
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


def test_a_loops_body_counts_as_often_as_it_runs():
    from benchmarks.kernels import aot as kernel_aot

    loop = "  %w = f32[] while(%x), condition=%c.{0}, body=%b.{0}"
    cost = '  %y = f32[] add(), backend_config={{"estimated_cycles":"{}"}}'
    condition = [
        "  %k = s32[] constant({})",
        "  ROOT %lt = pred[] compare(%i, %k), direction=LT",
    ]

    def computation(name, *lines):
        return "\n".join([f"{name} (x: f32[]) -> f32[] {{", *lines, "}"])

    text = "\n".join(
        [
            "HloModule jit_run",
            computation("%c.1", condition[0].format(3), condition[1]),
            computation("%b.1", cost.format(5)),
            computation("%c.2", condition[0].format(4), condition[1]),
            computation("%b.2", loop.format(1), cost.format(100)),
            computation("ENTRY %main", loop.format(2), cost.format(1)),
        ]
    )
    assert kernel_aot.cycles(text, {}) == (1 + 4 * (100 + 3 * 5), 0)
    with pytest.raises(ValueError, match="loop b.1: 0 constants, expected 1"):
        kernel_aot.cycles(text.replace("constant(3)", "parameter(0)"), {})
