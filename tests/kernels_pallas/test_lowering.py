"""The Triton kernels lower for CUDA at real shapes, on a machine without a GPU."""

import jax
import jax.numpy as jnp
import pytest
from jax.interpreters import mlir
from jax.sharding import AbstractDevice, AbstractMesh, AxisType
from jaxlib.mlir import ir
from jaxlib.triton import dialect

from kernels_pallas.amplified_cross_attention import gpu as cross
from kernels_pallas.amplified_cross_attention.reference import Text
from kernels_pallas.masked_region_attention import gpu as region
from kernels_pallas.masked_region_attention.reference import Fresh

TRITON = "__gpu$xla.gpu.triton"
DTYPES = pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
T, K, S, A, M = 168, 42, 195, 12, 128
# Since jax 0.11 the lowering asks for the compute capability of a device.
H100 = AbstractDevice("NVIDIA H100 80GB HBM3", num_cores=None, platform="gpu")
MESH = AbstractMesh((1,), ("x",), axis_types=(AxisType.Auto,), abstract_device=H100)


def kernels(function, *operands):
    """How many Triton kernels the function is lowered to, for an H100.

    XLA verifies kernels only when it compiles for a GPU; here they are verified as it
    would.
    """
    allowed = [jax.export.DisabledSafetyCheck.custom_call(TRITON)]
    with jax.sharding.use_abstract_mesh(MESH):
        exported = jax.export.export(
            jax.jit(function), platforms=["cuda"], disabled_checks=allowed
        )(*operands)
    with mlir.make_ir_context() as context:
        dialect.register_dialect(context)
        module = ir.Module.parse(exported.mlir_module())
        sources = list(sources_in(module.operation))
        for source in sources:
            assert ir.Module.parse(source).operation.verify()
    return len(sources)


def sources_in(operation):
    """The Triton modules, in MLIR's bytes, of all kernels in an operation."""
    if operation.name == "stablehlo.custom_call":
        if ir.StringAttr(operation.attributes["call_target_name"]).value == TRITON:
            config = ir.DictAttr(operation.attributes["mhlo.backend_config"])
            yield ir.StringAttr(config["ir"]).value_bytes
    for part in operation.regions:
        for block in part:
            for inner in block:
                yield from sources_in(inner.operation)


@DTYPES
@pytest.mark.parametrize("width", [64, 128])
def test_region_attention(dtype, width):
    shape = lambda dtype, *sizes: jax.ShapeDtypeStruct((1, *sizes), dtype)
    whole, some = shape(dtype, T, S, A, width), shape(dtype, K, S, A, width)
    ids, bias = shape(jnp.int32, K), shape(jnp.float32, T, S)

    def plain(query, key, value):
        return region.attend(query, key, value, None, None, None, False).out

    def everything(query, key, value, active, new, bias):
        fresh = Fresh(new, new, active)
        return region.attend(query, key, value, active, fresh, bias, True)

    assert kernels(plain, some, whole, whole) == 1
    assert kernels(everything, whole, whole, whole, ids, some, bias) == 3


@DTYPES
@pytest.mark.parametrize("width", [64, 128])
def test_cross_attention(dtype, width):
    shape = lambda dtype, *sizes: jax.ShapeDtypeStruct((1, *sizes), dtype)
    query, key = shape(dtype, T * S, A, width), shape(dtype, M, A, width)
    single = shape(jnp.float32, M)
    text = Text(key, key, single, single, jax.ShapeDtypeStruct((1,), jnp.float32))
    plain = lambda query, text: cross.attend(query, text, None)
    assert kernels(plain, query, text) == 1
    assert kernels(cross.attend, query, text, query) == 1
