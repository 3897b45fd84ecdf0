"""Arrays over the addresses that records hold.

Compiled code sees an array by its address, its size and the type of its elements; none of it is counted or freed.

Jobs
----
- `array_at`: an array of the type of an example
- `parameters_of`, `buffer_of`, ...: what a job's addresses lead to, most of them for the record of a row as well
- `details_of`: the record that an op's `details` leads to; `on_stack`: a record in a function's own memory
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from fastnn.kernels.tables import OP, SHARED_SIZE, VARIABLE


def field_of(context, builder, record_type, record, name):
    """Emit the value of a record's field."""
    from numba.np.arrayobj import record_getattr  # 20 ms that only compiling needs

    return record_getattr(context, builder, record_type, record, name)


def emit_array(context, builder, array_type, address, size):
    """Emit an array over an address."""
    from numba.np.arrayobj import make_array, populate_array  # as above

    array = make_array(array_type)(context, builder)
    pointer = builder.inttoptr(address, context.get_data_type(array_type.dtype).as_pointer())
    item_size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array_type.dtype)))
    populate_array(array, data=pointer, shape=[size], strides=[item_size], itemsize=item_size, meminfo=None)
    return array._getvalue()


@intrinsic
def array_at(typingctx, address, size, example):
    """A contiguous array of `size` elements of the example's type."""
    array_type = types.Array(example, 1, "C")

    def codegen(context, builder, sig, args):
        return emit_array(context, builder, array_type, args[0], args[1])

    return signature(array_type, types.int64, types.int64, example), codegen


def records_at(dtype: np.dtype) -> Any:
    """Build an intrinsic for arrays of records of a dtype."""
    array_type = types.Array(numba.from_dtype(dtype), 1, "C")

    @intrinsic
    def at(typingctx, address, size):
        def codegen(context, builder, sig, args):
            return emit_array(context, builder, array_type, args[0], args[1])

        return signature(array_type, types.int64, types.int64), codegen

    return at


def details_of(dtype: np.dtype) -> Any:
    """Build an intrinsic that returns the record of type `dtype` to which an op's `details` leads."""
    details_type = numba.from_dtype(dtype)

    @intrinsic
    def details(typingctx, op):
        def codegen(context, builder, sig, args):
            address = field_of(context, builder, op, args[0], "details")
            return builder.inttoptr(address, context.get_value_type(details_type))

        return signature(details_type, op), codegen

    return details


def on_stack(dtype: np.dtype) -> Any:
    """Build an intrinsic that returns a record of a type, which lives as long as the function that asks for it."""
    record_type = numba.from_dtype(dtype)

    @intrinsic
    def record(typingctx):
        def codegen(context, builder, sig, args):
            memory = cgutils.alloca_once(builder, ir.ArrayType(ir.IntType(64), dtype.itemsize // 8))
            return builder.bitcast(memory, context.get_value_type(record_type))

        return record_type(), codegen

    return record


def _view(address: str, size: str | int, element: Any = None) -> Any:
    """Build an intrinsic for the array at a record's address.

    Parameters
    ----------
    address : str
        The field that holds it.
    size : str or int
        The field that holds the number of elements, or the number; 0 where nobody asks for it.
    element : Numba type or None, default None
        None: the type of the record's field `element`.
    """

    @intrinsic
    def view(typingctx, record):
        array_type = types.Array(record.typeof("element") if element is None else element, 1, "C")

        def codegen(context, builder, sig, args):
            where = field_of(context, builder, record, args[0], address)
            if isinstance(size, str):
                count = field_of(context, builder, record, args[0], size)
            else:
                count = context.get_constant(types.intp, size)
            return emit_array(context, builder, array_type, where, count)

        return signature(array_type, record), codegen

    return view


ops_of = _view("ops", "n_ops", numba.from_dtype(OP))
variables_of = _view("variables", "n_variables", numba.from_dtype(VARIABLE))
parameters_of = _view("parameters", "n_values")  # parameters, padding and running statistics
gradients_of = _view("gradients", 0)  # a gradient vector a thread, then an area for blocks a thread
gradient_of = _view("gradient", "parameter_stride")  # this thread's gradient vector
moments_of = _view("moments", "n_moments")
workspaces_of = _view("workspaces", 0)  # the buffers of all threads
buffer_of = _view("buffer", "buffer_size")  # this thread's
sums_of = _view("sums", 0, types.float64)  # the running sums of all threads, N_SUMS each
shared_of = _view("shared", SHARED_SIZE, types.int64)  # the team's barrier
order_of = _view("order", "n_order", types.int64)  # row numbers of the epoch; empty for rows in order
sample_weight_of = _view("sample_weight", "n_sample_weight", types.float64)  # empty where all rows weigh 1
row_lengths_of = _view("row_lengths", "n_row_lengths", types.int64)  # empty where all steps count


@intrinsic
def jobs_of(typingctx, job):
    """The records of all threads, for one of them."""
    array_type = types.Array(job, 1, "C")

    def codegen(context, builder, sig, args):
        address, count = (field_of(context, builder, job, args[0], name) for name in ("jobs", "n_threads"))
        return emit_array(context, builder, array_type, address, count)

    return signature(array_type, job), codegen
