"""What kernels import to say which elements are computed side by side.

LLVM's loop vectoriser stops working for reasons a reader cannot see (an index that might be negative, a short loop,
a preference for narrow registers). Kernels therefore name their vectors, which are one cache line (64 bytes) long:

- `vector`: the type, its arithmetic
- `memory`: loads, stores, conversions
- `transposes`: transposition in registers
- `processor`: registers and modes
"""

from fastnn.kernels.memory import (
    copy_eight,
    data_pointer,
    element_at,
    emit_prefetch,
    first_lanes,
    load,
    load_at,
    load_first,
    masked_load,
    masked_store,
    put_at,
    store,
    store_first,
)
from fastnn.kernels.processor import flush_denormals, restore_denormals, vector_registers
from fastnn.kernels.transposes import (
    indexed_rows,
    integers_at,
    make_transpose,
    row_addresses,
    transpose_block,
    transpose_rows,
)
from fastnn.kernels.vector import (
    VECTOR_BYTES,
    Vector,
    absolute,
    bits_of,
    call_vector_intrinsic,
    copysign,
    counters,
    filled,
    float_of,
    fma,
    has_estimates,
    lanes,
    lanes_of,
    maximum,
    minimum,
    reciprocal_estimate,
    reciprocal_sqrt_estimate,
    select,
    splat,
    sqrt,
    total,
    unit_interval,
)

__all__ = [
    "VECTOR_BYTES", "Vector", "absolute", "bits_of", "call_vector_intrinsic", "copy_eight", "copysign", "counters",
    "data_pointer", "element_at", "emit_prefetch", "filled", "first_lanes", "float_of", "flush_denormals", "fma",
    "has_estimates", "indexed_rows", "integers_at", "lanes", "lanes_of", "load", "load_at", "load_first",
    "make_transpose", "masked_load", "masked_store", "maximum", "minimum", "put_at", "reciprocal_estimate",
    "reciprocal_sqrt_estimate", "restore_denormals", "row_addresses", "select", "splat", "sqrt", "store", "store_first",
    "total", "transpose_block", "transpose_rows", "unit_interval", "vector_registers",
]  # fmt: skip
