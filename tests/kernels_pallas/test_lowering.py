"""The Triton kernels lower for CUDA at real shapes, on a machine without a GPU."""

import jax
import jax.numpy as jnp
import pytest

from kernels_pallas.amplified_cross_attention import gpu as cross
from kernels_pallas.amplified_cross_attention.reference import Region, Text
from kernels_pallas.masked_region_attention import gpu as region
from kernels_pallas.masked_region_attention.reference import Fresh

TRITON = "__gpu$xla.gpu.triton"
DTYPES = pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
T, K, S, A, M = 168, 42, 195, 12, 128


def kernels(function, *operands):
    """How many Triton kernels the function is lowered to."""
    allowed = [jax.export.DisabledSafetyCheck.custom_call(TRITON)]
    exported = jax.export.export(
        jax.jit(function), platforms=["cuda"], disabled_checks=allowed
    )(*operands)
    return exported.mlir_module().count(TRITON)


@DTYPES
@pytest.mark.parametrize("width", [64, 128])
def test_region_attention(dtype, width):
    shape = lambda dtype, *sizes: jax.ShapeDtypeStruct((1, *sizes), dtype)
    whole, some = shape(dtype, T, S, A, width), shape(dtype, K, S, A, width)
    ids, bias = shape(jnp.int32, K), shape(jnp.float32, T, S)

    def plain(query, key, value, out, active):
        return region.attend(query, key, value, active, None, out, None, None, False)

    def everything(query, key, value, out, active, new, bias, listed):
        fresh = Fresh(new, new, active)
        return region.attend(query, key, value, active, fresh, out, bias, listed, True)

    assert kernels(plain, whole, whole, whole, whole, ids) == 1
    operands = (whole, whole, whole, whole, ids, some, bias, ids)
    assert kernels(everything, *operands) == 3


@DTYPES
@pytest.mark.parametrize("width", [64, 128])
def test_cross_attention(dtype, width):
    shape = lambda dtype, *sizes: jax.ShapeDtypeStruct((1, *sizes), dtype)
    query, key = shape(dtype, T * S, A, width), shape(dtype, M, A, width)
    single = shape(jnp.float32, M)
    text = Text(key, key, single, single, jax.ShapeDtypeStruct((1,), jnp.float32))
    ids = shape(jnp.int32, K)

    def everything(query, text, residual, active, out):
        return cross.attend(query, text, residual, Region(active, S, out))

    plain = lambda query, text: cross.attend(query, text, None, None)
    assert kernels(plain, query, text) == 1
    assert kernels(everything, query, text, query, ids, query) == 1
