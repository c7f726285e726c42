"""Row operations of the spread and gather loops as explicit 16-lane vectors.

Written by plain loops, LLVM's vectoriser gives these short runs (some tens of numbers) to its scalar remainder; as
explicit vectors they run 5 to 12 times faster. A ``<16 x float>`` is legal on every target: LLVM splits it into what
the machine has (one AVX-512, two AVX2 or four NEON registers).

All arrays are one-dimensional, contiguous float32; runs are padded to whole blocks of ``LANES`` numbers.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_FAST = ("fast",)


def _data(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.make_array(kind)(context, builder, value).data


def _address(builder: Any, data: Any, index: Any) -> Any:
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _load(builder: Any, data: Any, index: Any) -> Any:
    loaded = builder.load(_address(builder, data, index))
    loaded.align = 4
    return loaded


def _store(builder: Any, vector: Any, data: Any, index: Any) -> None:
    stored = builder.store(vector, _address(builder, data, index))
    stored.align = 4


def _splat(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, undefined, lanes)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.fadd(builder.fmul(a, b, flags=_FAST), c, flags=_FAST)


@intrinsic
def add_rows(typing_context, flat, first, stride, rows, factor, run, blocks):  # type: ignore[no-untyped-def]
    """flat[first + k * stride + m] += factor[k] * run[m] for k < rows and m < blocks * LANES."""
    signature = types.void(flat, types.intp, types.intp, types.intp, factor, run, types.intp)

    def generate(context, builder, sig, args):  # type: ignore[no-untyped-def]
        _, start, step, count, _, _, n_blocks = args
        target, factors, source = (_data(context, builder, sig.args[i], args[i]) for i in (0, 4, 5))
        lanes = ir.Constant(n_blocks.type, LANES)
        with cgutils.for_range(builder, count, intp=count.type) as row:
            weight = _splat(builder, builder.load(builder.gep(factors, [row.index])))
            origin = builder.add(start, builder.mul(row.index, step))
            with cgutils.for_range(builder, n_blocks, intp=n_blocks.type) as block:
                m = builder.mul(block.index, lanes)
                where = builder.add(origin, m)
                total = _multiply_add(builder, weight, _load(builder, source, m), _load(builder, target, where))
                _store(builder, total, target, where)
        return context.get_dummy_value()

    return signature, generate


def _make_row_sums(sums: int) -> Any:
    def generate(context, builder, sig, args):  # type: ignore[no-untyped-def]
        _, start, step, count, _, _, n_blocks = args
        source, factors, out = (_data(context, builder, sig.args[i], args[i]) for i in (0, 4, 5))
        lanes = ir.Constant(n_blocks.type, LANES)
        length = builder.mul(n_blocks, lanes)
        totals = [cgutils.alloca_once(builder, _VECTOR) for _ in range(sums)]
        zero = ir.Constant(_VECTOR, [0.0] * LANES)
        with cgutils.for_range(builder, n_blocks, intp=n_blocks.type) as block:
            m = builder.mul(block.index, lanes)
            for total in totals:
                builder.store(zero, total)
            with cgutils.for_range(builder, count, intp=count.type) as row:
                origin = builder.add(start, builder.mul(row.index, step))
                values = _load(builder, source, builder.add(origin, m))
                for j, total in enumerate(totals):
                    k = builder.add(row.index, builder.mul(count, ir.Constant(count.type, j)))
                    weight = _splat(builder, builder.load(builder.gep(factors, [k])))
                    builder.store(_multiply_add(builder, weight, values, builder.load(total)), total)
            for j, total in enumerate(totals):
                where = builder.add(m, builder.mul(length, ir.Constant(length.type, j)))
                _store(builder, builder.load(total), out, where)
        return context.get_dummy_value()

    @intrinsic
    def row_sums(typing_context, flat, first, stride, rows, factors, out, blocks):  # type: ignore[no-untyped-def]
        signature = types.void(flat, types.intp, types.intp, types.intp, factors, out, types.intp)
        return signature, generate

    return row_sums


# out[j * blocks * LANES + m] = sum over k < rows of factors[j * rows + k] * flat[first + k * stride + m],
# for j < 1, 2, 3
row_sums_1 = _make_row_sums(1)
row_sums_2 = _make_row_sums(2)
row_sums_3 = _make_row_sums(3)


@intrinsic
def polynomials(typing_context, table, first, degree, t, blocks, out):  # type: ignore[no-untyped-def]
    """out[m] = sum over d <= degree of table[first + d * blocks * LANES + m] * t^d for m < blocks * LANES."""
    signature = types.void(table, types.intp, types.intp, types.float32, types.intp, out)

    def generate(context, builder, sig, args):  # type: ignore[no-untyped-def]
        _, begin, highest, at, n_blocks, _ = args
        source, target = (_data(context, builder, sig.args[i], args[i]) for i in (0, 5))
        lanes = ir.Constant(n_blocks.type, LANES)
        length = builder.mul(n_blocks, lanes)
        t_lanes = _splat(builder, at)
        total = cgutils.alloca_once(builder, _VECTOR)
        with cgutils.for_range(builder, n_blocks, intp=n_blocks.type) as block:
            m = builder.mul(block.index, lanes)
            origin = builder.add(begin, m)
            top = builder.add(origin, builder.mul(highest, length))
            builder.store(_load(builder, source, top), total)
            with cgutils.for_range(builder, highest, intp=highest.type) as power:
                below = builder.sub(builder.sub(highest, ir.Constant(highest.type, 1)), power.index)
                c = _load(builder, source, builder.add(origin, builder.mul(below, length)))
                builder.store(_multiply_add(builder, builder.load(total), t_lanes, c), total)
            _store(builder, builder.load(total), target, m)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def multiply(typing_context, a, b, factor, blocks, out):  # type: ignore[no-untyped-def]
    """out[m] = factor * a[m] * b[m] for m < blocks * LANES."""
    signature = types.void(a, b, types.float32, types.intp, out)

    def generate(context, builder, sig, args):  # type: ignore[no-untyped-def]
        first, second, target = (_data(context, builder, sig.args[i], args[i]) for i in (0, 1, 4))
        weight, n_blocks = _splat(builder, args[2]), args[3]
        lanes = ir.Constant(n_blocks.type, LANES)
        with cgutils.for_range(builder, n_blocks, intp=n_blocks.type) as block:
            m = builder.mul(block.index, lanes)
            product = builder.fmul(_load(builder, first, m), _load(builder, second, m), flags=_FAST)
            _store(builder, builder.fmul(product, weight, flags=_FAST), target, m)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def dot(typing_context, a, first_of_a, b, blocks):  # type: ignore[no-untyped-def]
    """Sum over m < blocks * LANES of a[first_of_a + m] * b[m]."""
    signature = types.float32(a, types.intp, b, types.intp)

    def generate(context, builder, sig, args):  # type: ignore[no-untyped-def]
        one, two = (_data(context, builder, sig.args[i], args[i]) for i in (0, 2))
        begin, n_blocks = args[1], args[3]
        lanes = ir.Constant(n_blocks.type, LANES)
        total = cgutils.alloca_once(builder, _VECTOR)
        builder.store(ir.Constant(_VECTOR, [0.0] * LANES), total)
        with cgutils.for_range(builder, n_blocks, intp=n_blocks.type) as block:
            m = builder.mul(block.index, lanes)
            a_lanes, b_lanes = _load(builder, one, builder.add(begin, m)), _load(builder, two, m)
            builder.store(_multiply_add(builder, a_lanes, b_lanes, builder.load(total)), total)
        return _sum(builder, builder.load(total))

    return signature, generate


def _sum(builder: Any, vector: Any) -> Any:
    """Sum of all lanes, halves added to halves."""
    lanes = LANES
    while lanes > 1:
        lanes //= 2
        kind = ir.VectorType(ir.IntType(32), lanes)
        low = builder.shuffle_vector(vector, vector, ir.Constant(kind, list(range(lanes))))
        high = builder.shuffle_vector(vector, vector, ir.Constant(kind, list(range(lanes, 2 * lanes))))
        vector = builder.fadd(low, high, flags=_FAST)
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))
