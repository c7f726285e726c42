"""Row operations of the spread and gather loops as explicit vectors.

Written by plain loops, LLVM's vectoriser gives these short runs (some tens of numbers) to its scalar remainder; as
explicit vectors they run 5 to 12 times faster. A ``<16 x float>`` is legal on every target: LLVM splits it into what
the machine has (one AVX-512, two AVX2 or four NEON registers).

All arrays are one-dimensional, contiguous float32. The second half of the module is for runs of any length, padded to
whole blocks of ``LANES`` numbers; the first for runs whose length is known when it is compiled: there it is named by a
literal integer, and no loop is left.
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


def _load(builder: Any, data: Any, index: Any, lanes: int = LANES) -> Any:
    pointer = ir.VectorType(_FLOAT, lanes).as_pointer()
    loaded = builder.load(builder.bitcast(builder.gep(data, [index]), pointer))
    loaded.align = 4
    return loaded


def _store(builder: Any, vector: Any, data: Any, index: Any) -> None:
    stored = builder.store(vector, builder.bitcast(builder.gep(data, [index]), vector.type.as_pointer()))
    stored.align = 4


def _splat(builder: Any, scalar: Any, lanes: int = LANES) -> Any:
    undefined = ir.Constant(ir.VectorType(_FLOAT, lanes), ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.fadd(builder.fmul(a, b, flags=_FAST), c, flags=_FAST)


def _sum(builder: Any, vector: Any) -> Any:
    """Sum of all lanes, halves added to halves."""
    lanes = vector.type.count
    while lanes > 1:
        lanes //= 2
        kind = ir.VectorType(ir.IntType(32), lanes)
        low = builder.shuffle_vector(vector, vector, ir.Constant(kind, list(range(lanes))))
        high = builder.shuffle_vector(vector, vector, ir.Constant(kind, list(range(lanes, 2 * lanes))))
        vector = builder.fadd(low, high, flags=_FAST)
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


# -- runs whose length is known when it is compiled ---------------------------------------------------------------


@intrinsic
def run_polynomial(typing_context, table, first, step, degree, t, lanes, out, place):  # type: ignore[no-untyped-def]
    """out[place + m] = sum over d <= degree of table[first + d * step + m] * t^d for m < lanes (two literals)."""
    if not (isinstance(degree, types.IntegerLiteral) and isinstance(lanes, types.IntegerLiteral)):
        return None
    signature = types.void(table, types.intp, types.intp, degree, types.float32, lanes, out, types.intp)

    def generate(context, builder, sig, args):  # type: ignore[no-untyped-def]
        source, target = (_data(context, builder, sig.args[i], args[i]) for i in (0, 6))
        length, highest = lanes.literal_value, degree.literal_value
        begin, distance, at = args[1], args[2], _splat(builder, args[4], length)
        total = None
        for power in range(highest, -1, -1):
            where = builder.add(begin, builder.mul(distance, ir.Constant(distance.type, power)))
            c = _load(builder, source, where, length)
            total = c if total is None else _multiply_add(builder, total, at, c)
        _store(builder, total, target, args[7])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def run_multiply(typing_context, a, of_a, b, of_b, factor, lanes, out, place):  # type: ignore[no-untyped-def]
    """out[place + m] = factor * a[of_a + m] * b[of_b + m] for m < lanes (a literal)."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    signature = types.void(a, types.intp, b, types.intp, types.float32, lanes, out, types.intp)

    def generate(context, builder, sig, args):  # type: ignore[no-untyped-def]
        one, two, target = (_data(context, builder, sig.args[i], args[i]) for i in (0, 2, 6))
        length = lanes.literal_value
        first, second = _load(builder, one, args[1], length), _load(builder, two, args[3], length)
        product = builder.fmul(builder.fmul(first, second, flags=_FAST), _splat(builder, args[4], length), flags=_FAST)
        _store(builder, product, target, args[7])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def run_add_rows(typing_context, flat, first, stride, rows, factor, run, of_run, lanes):  # type: ignore[no-untyped-def]
    """flat[first + k * stride + m] += factor[k] * run[of_run + m] for k < rows and m < lanes (two literals)."""
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(lanes, types.IntegerLiteral)):
        return None
    signature = types.void(flat, types.intp, types.intp, rows, factor, run, types.intp, lanes)

    def generate(context, builder, sig, args):  # type: ignore[no-untyped-def]
        target, factors, source = (_data(context, builder, sig.args[i], args[i]) for i in (0, 4, 5))
        length = lanes.literal_value
        values, where = _load(builder, source, args[6], length), args[1]
        for k in range(rows.literal_value):
            weight = builder.load(builder.gep(factors, [ir.Constant(args[1].type, k)]))
            there = _load(builder, target, where, length)
            _store(builder, _multiply_add(builder, _splat(builder, weight, length), values, there), target, where)
            where = builder.add(where, args[2])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def run_weigh_rows(  # type: ignore[no-untyped-def]
    typing_context, flat, first, stride, rows, factors, weights, of_weights, lanes, out
):
    """Sums of weighted rows along one of the factors, times weights, added to ``out``: rows and lanes are literals.

    out[m] += weights[of_weights + m] * sum over k < rows of factors[k] * flat[first + k * stride + m] for m < lanes.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(lanes, types.IntegerLiteral)):
        return None
    signature = types.void(flat, types.intp, types.intp, rows, factors, weights, types.intp, lanes, out)

    def generate(context, builder, sig, args):  # type: ignore[no-untyped-def]
        source, factor, weight, target = (_data(context, builder, sig.args[i], args[i]) for i in (0, 4, 5, 8))
        (total,) = _weighed(builder, source, factor, args[1], args[2], rows.literal_value, lanes.literal_value, 1)
        _accumulate(builder, total, _load(builder, weight, args[6], lanes.literal_value), target, 0)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def run_weigh_rows_twice(  # type: ignore[no-untyped-def]
    typing_context, flat, first, stride, rows, factors, weights, slopes, of_weights, lanes, out
):
    """As ``run_weigh_rows``, by factors and by their slopes, which follow them, and by weights and their slopes.

    Three sums stand behind each other in ``out``: factors and weights; factors' slopes and weights; factors and
    weights' slopes.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(lanes, types.IntegerLiteral)):
        return None
    signature = types.void(flat, types.intp, types.intp, rows, factors, weights, slopes, types.intp, lanes, out)

    def generate(context, builder, sig, args):  # type: ignore[no-untyped-def]
        source, factor, weight, slope, target = (_data(context, builder, sig.args[i], args[i]) for i in (0, 4, 5, 6, 9))
        length = lanes.literal_value
        plain, risen = _weighed(builder, source, factor, args[1], args[2], rows.literal_value, length, 2)
        c, dc = _load(builder, weight, args[7], length), _load(builder, slope, args[7], length)
        for place, (total, by) in enumerate(((plain, c), (risen, c), (plain, dc))):
            _accumulate(builder, total, by, target, place * length)
        return context.get_dummy_value()

    return signature, generate


def _weighed(
    builder: Any, source: Any, factors: Any, first: Any, stride: Any, rows: int, lanes: int, sums: int
) -> list[Any]:
    totals: list[Any] = [ir.Constant(ir.VectorType(_FLOAT, lanes), [0.0] * lanes)] * sums
    where = first
    for k in range(rows):
        values = _load(builder, source, where, lanes)
        for j in range(sums):
            weight = builder.load(builder.gep(factors, [ir.Constant(first.type, j * rows + k)]))
            totals[j] = _multiply_add(builder, _splat(builder, weight, lanes), values, totals[j])
        where = builder.add(where, stride)
    return totals


def _accumulate(builder: Any, total: Any, by: Any, target: Any, place: int) -> None:
    where = ir.Constant(ir.IntType(64), place)
    _store(builder, _multiply_add(builder, total, by, _load(builder, target, where, total.type.count)), target, where)


@intrinsic
def run_dot(typing_context, a, of_a, b, of_b, lanes):  # type: ignore[no-untyped-def]
    """Sum over m < lanes (a literal) of a[of_a + m] * b[of_b + m]."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    signature = types.float32(a, types.intp, b, types.intp, lanes)

    def generate(context, builder, sig, args):  # type: ignore[no-untyped-def]
        one, two = (_data(context, builder, sig.args[i], args[i]) for i in (0, 2))
        first, second = (_load(builder, data, at, lanes.literal_value) for data, at in ((one, args[1]), (two, args[3])))
        return _sum(builder, builder.fmul(first, second, flags=_FAST))

    return signature, generate


@intrinsic
def run_clear(typing_context, out, lanes):  # type: ignore[no-untyped-def]
    """out[m] = 0 for m < lanes (a literal)."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    signature = types.void(out, lanes)

    def generate(context, builder, sig, args):  # type: ignore[no-untyped-def]
        target, length = _data(context, builder, sig.args[0], args[0]), lanes.literal_value
        none = ir.Constant(ir.VectorType(_FLOAT, length), [0.0] * length)
        _store(builder, none, target, ir.Constant(ir.IntType(64), 0))
        return context.get_dummy_value()

    return signature, generate


# -- runs of any length -------------------------------------------------------------------------------------------


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
