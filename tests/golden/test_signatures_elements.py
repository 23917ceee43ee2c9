"""Golden cases of joining, cutting and picking: which elements go together."""

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match Concat: channels end to end
(float[N, 4, 8] x, float[N, 2, 8] z) => (float[] y) { y = Concat<axis = 1>(x, z) }
x[a=N b=4 c=8] z[a d=2 c]
-> y[a (b + d) c]

match Concat: one twice
(float[N, 4] x) => (float[] y) { y = Concat<axis = -1>(x, x) }
x[a=N b=4]
-> y[a (b + b)]

match Concat: a part of size one
(float[N, 4] x, float[N, 1] z) => (float[] y) { y = Concat<axis = 1>(x, z) }
x[a=N b=4] z[a 1]
-> y[a (b + 1)]

match Concat: along a run-time size
(float[N, S, 4] x, float[N, T, 4] z) => (float[] y) { y = Concat<axis = 1>(x, z) }
x[a=N b=S c=4] z[a d=T c]
-> y[a (b + d) c]

refuse Concat: axis outside the rank [not run: malformed]
(float[N, 4] x, float[N, 4] z) => (float[] y) { y = Concat<axis = 2>(x, z) }
x[a=N b=4!] z[c=N d=4!]
-> y[?]
frozen a b c d: Concat 'Concat:y': axis=2 is outside rank 2

match Split: sizes as attribute [opset 11]
(float[N, 6] x) => (float[] y, float[] z) { y, z = Split<axis = 1, split = [2, 4]>(x) }
x[a=N (b=2 + c=4)]
-> y[a b] z[a c]

match Split: sizes as operand [opset 13]
(float[N, 6] x) => (float[] y, float[] z) <int64[2] s = {2, 4}> { y, z = Split<axis = -1>(x, s) }
x[a=N (b=2 + c=4)]
-> y[a b] z[a c]

match Split: number of outputs [opset 18]
(float[N, 7] x) => (float[] y, float[] z) { y, z = Split<axis = 1, num_outputs = 2>(x) }
x[a=N (b=4 + c=3)]
-> y[a b] z[a c]

match Split: equal parts by default [opset 13]
(float[N, 6] x) => (float[] y, float[] z, float[] u) { y, z, u = Split<axis = 1>(x) }
x[a=N (b=2 + c=2 + d=2)]
-> y[a b] z[a c] u[a d]

match Split: a part of size one [opset 13]
(float[N, 4] x) => (float[] y, float[] z) <int64[2] s = {1, 3}> { y, z = Split<axis = 1>(x, s) }
x[a=N (1 + b=3)]
-> y[a 1] z[a b]

refuse Split: the parts do not make up the axis [opset 13] [not run: malformed]
(float[N, 6] x) => (float[] y, float[] z) <int64[2] s = {2, 3}> { y, z = Split<axis = 1>(x, s) }
x[a=N b=6!]
-> y[?] z[?]
frozen a b: Split 'Split:y': the parts [2, 3] do not make up 6

refuse Split: sizes computed at run time
(float[N, 6] x, int64[2] s) => (float[] y, float[] z) { y, z = Split<axis = 1>(x, s) }
x[a=N b=6!] s[c=2!]
-> y[?] z[?]
frozen a b c: Split 'Split:y': split (operand 1) is computed at run time

refuse Split: a run-time size [opset 13]
(float[N, 6] x) => (float[] y, float[] z) { y, z = Split<axis = 0>(x) }
x[a=N b=6!]
-> y[c=unk__0 d=6!] z[e=unk__1 f=6!]
frozen a b c d e f: Split 'Split:y': dimension 0 of operand 0 has run-time size N

match Slice: bounds as attributes [opset 9]
(float[N, 6, 8] x) => (float[] y) { y = Slice<axes = [1], starts = [1], ends = [4]>(x) }
x[a=N (1 + b=3 + c=2) d=8]
-> y[a b d]

match Slice: bounds as operands
(float[N, 6, 8] x) => (float[] y) <int64[1] starts = {1}, int64[1] ends = {4}, int64[1] axes = {1}>
{ y = Slice(x, starts, ends, axes) }
x[a=N (1 + b=3 + c=2) d=8]
-> y[a b d]

match Slice: negative start and open end
(float[N, 6] x) => (float[] y)
<int64[1] starts = {-2}, int64[1] ends = {9223372036854775807}, int64[1] axes = {-1}>
{ y = Slice(x, starts, ends, axes) }
x[a=N (b=4 + c=2)]
-> y[a c]

match Slice: negative end
(float[N, 6] x) => (float[] y) <int64[1] starts = {0}, int64[1] ends = {-2}, int64[1] axes = {1}>
{ y = Slice(x, starts, ends, axes) }
x[a=N (b=4 + c=2)]
-> y[a b]

match Slice: everything of a run-time size
(float[N, 6] x) => (float[] y) <int64[2] starts = {0, 3}, int64[2] ends = {2147483647, 6}>
{ y = Slice(x, starts, ends) }
x[a=N (b=3 + c=3)]
-> y[a c]

match Slice: reversed
(float[N, 4] x) => (float[] y)
<int64[1] starts = {-1}, int64[1] ends = {-9223372036854775807}, int64[1] axes = {1}, int64[1] steps = {-1}>
{ y = Slice(x, starts, ends, axes, steps) }
x[a=N b=4{0 1 2 3}]
-> y[a c=4{3 2 1 0}]

match Slice: every second element
(float[N, 6] x) => (float[] y)
<int64[1] starts = {1}, int64[1] ends = {6}, int64[1] axes = {1}, int64[1] steps = {2}>
{ y = Slice(x, starts, ends, axes, steps) }
x[a=N (b=3 (1 + 1))]
-> y[a b]

refuse Slice: a stride that does not divide
(float[N, 5] x) => (float[] y)
<int64[1] starts = {0}, int64[1] ends = {5}, int64[1] axes = {1}, int64[1] steps = {2}>
{ y = Slice(x, starts, ends, axes, steps) }
x[a=N b=5!]
-> y[a c=3!]
frozen b c: Slice 'Slice:y': elements are cut out of it

refuse Slice: a bound computed at run time
(float[N, 6] x, int64[1] ends) => (float[] y) <int64[1] starts = {0}, int64[1] axes = {1}>
{ y = Slice(x, starts, ends, axes) }
x[a=N b=6!] ends[1]
-> y[a c=unk__1]
frozen b c: Slice 'Slice:y': elements are cut out of it

refuse Slice: a part of a run-time size
(float[N, S] x) => (float[] y) <int64[1] starts = {1}, int64[1] ends = {4}, int64[1] axes = {1}>
{ y = Slice(x, starts, ends, axes) }
x[a=N b=S]
-> y[a c=unk__0]
frozen b c: Slice 'Slice:y': elements are cut out of it

refuse Slice: steps computed at run time
(float[N, 6] x, int64[1] steps) => (float[] y) <int64[1] starts = {0}, int64[1] ends = {4}, int64[1] axes = {1}>
{ y = Slice(x, starts, ends, axes, steps) }
x[a=N b=6!] steps[1]
-> y[c=unk__0 d=unk__1]
frozen a b c d: Slice 'Slice:y': steps (operand 4) is computed at run time

match Gather: a vector of indices
(float[N, 4] x) => (float[] y) <int64[5] i = {3, 0, 0, 2, -1}> { y = Gather<axis = 1>(x, i) }
x[a=N b=4{0 1 2 3}]
-> y[a c=5{3 0 0 2 3}]

match Gather: a matrix of indices
(float[N, 4] x) => (float[] y) <int64[2, 2] i = {3, 1, 2, 0}> { y = Gather<axis = 1>(x, i) }
x[a=N b=4{0 1 0 1}]
-> y[a c=2{1 0} d=2!]
frozen d: Gather 'Gather:y': no common factors

match Gather: one index is a scalar
(float[N, 4, 3] x) => (float[] y) <int64 i = {2}> { y = Gather<axis = 1>(x, i) }
x[a=N (b=2 + 1 + 1) c=3]
-> y[a c]

match Gather: one negative index
(float[N, 4, 3] x) => (float[] y) <int64[1] i = {-1}> { y = Gather<axis = 1>(x, i) }
x[a=N (b=3 + 1) c=3]
-> y[a 1 c]

match Gather: rows of an embedding by tokens
(int64[N, S] i) => (float[] y) <float[5, 4] w> { y = Gather(w, i) }
i[a=N b=S] w[c=5! d=4]
-> y[a b d]
group w:1 mlp 4: w:1
frozen c: Gather 'Gather:y': it is looked up by index

refuse Gather: an index beyond the end
(float[N, 4] x) => (float[] y) <int64[3] i = {3, 4, 0}> { y = Gather<axis = 1>(x, i) }
x[a=N b=4!]
-> y[c=N d=3!]
frozen a b c d: Gather 'Gather:y': index 4 lies outside of a dimension of size 4

match Gather: a strided view of a flat value
(float[N, 4] x) => (float[] y)
<int64 zero = {0}, int64 one = {1}, int64[1] flat = {-1}, int64 c = {4}, int64[1] last = {1}, int64[4] k = {0,
1, 2, 3}>
{ f = Reshape(x, flat) s = Shape<start = 0, end = 1>(x) n = Squeeze(s) r = Range(zero, n, one) b = Mul(r, c)
u = Unsqueeze(b, last) i = Add(u, k) y = Gather(f, i) }
x[a=N b=4]
-> f[(a b)] s[1] n[] r[c=N] b[c] u[c 1] i[c d=4!] y[a b]
frozen c: Range 'Range:r': it counts positions
frozen c d: Gather 'Gather:y': operand 1 counts positions, it holds no channels

match Gather: a strided view that skips and transposes
(float[N, 3, 4] x) => (float[] y)
<int64 zero = {0}, int64 one = {1}, int64[1] flat = {-1}, int64 c = {12}, int64[2] last = {0, 1}, int64[2, 3, 1]
k = {1, 5, 9, 2, 6, 10}>
{ f = Reshape(x, flat) s = Shape<start = 0, end = 1>(x) n = Squeeze(s) r = Range(zero, n, one) b = Mul(r, c)
u = Unsqueeze(b, last) i = Add(u, k) y = Gather(f, i) }
x[a=N b=3 (1 + c=2 + 1)]
-> f[(a b (1 + c + 1))] s[1] n[] r[d=N] b[d] u[1 1 d] i[e=2! f=3! d] y[c b a]
frozen d: Range 'Range:r': it counts positions
frozen d e f: Gather 'Gather:y': operand 1 counts positions, it holds no channels

refuse Gather: windows that overlap
(float[N, 6] x) => (float[] y)
<int64 zero = {0}, int64 one = {1}, int64[1] flat = {-1}, int64 c = {6}, int64[2] last = {1, 2}, int64[3, 2] k =
{0, 1, 1, 2, 2, 3}>
{ f = Reshape(x, flat) s = Shape<start = 0, end = 1>(x) n = Squeeze(s) r = Range(zero, n, one) b = Mul(r, c)
u = Unsqueeze(b, last) i = Add(u, k) y = Gather(f, i) }
x[a=N b=6!]
-> f[(a b)] s[1] n[] r[c=N] b[c] u[c 1 1] i[c d=3 e=2] y[c d e]
frozen a b: Gather 'Gather:y': it is looked up by index
frozen c: Range 'Range:r': it counts positions

refuse Gather: a strided view of part of a run-time size
(float[N, 4] x, int64 n) => (float[] y)
<int64 zero = {0}, int64 one = {1}, int64[1] flat = {-1}, int64 c = {4}, int64[1] last = {1}, int64[4] k = {0,
1, 2, 3}>
{ f = Reshape(x, flat) r = Range(zero, n, one) b = Mul(r, c) u = Unsqueeze(b, last) i = Add(u, k) y = Gather(f, i) }
x[a=N b=4!] n[]
-> f[(a b)] r[c=unk__2] b[c] u[c 1] i[c d=4] y[c d]
frozen a b: Gather 'Gather:y': it is looked up by index
frozen c: Range 'Range:r': it counts positions

refuse Gather: channels by indices computed at run time
(float[N, 4] x, int64[2] i) => (float[] y) { y = Gather<axis = 1>(x, i) }
x[a=N b=4!] i[c=2]
-> y[a c]
frozen b: Gather 'Gather:y': it is looked up by index

match Pad: pads as attribute [opset 9]
(float[N, 4] x) => (float[] y) { y = Pad<pads = [0, 1, 0, 2]>(x) }
x[a=N b=4]
-> y[a (1 + b + c=2)]

match Pad: pads as operand [opset 13]
(float[N, 4] x) => (float[] y) <int64[4] pads = {0, 0, 0, 3}> { y = Pad(x, pads) }
x[a=N b=4]
-> y[a (b + c=3)]

match Pad: pads of named axes
(float[N, 4] x) => (float[] y) <int64[2] pads = {2, 0}, float zero = {0}, int64[1] axes = {-1}>
{ y = Pad(x, pads, zero, axes) }
x[a=N b=4]
-> y[a (c=2 + b)]

match Pad: space is reflected
(float[N, 4, 8] x) => (float[] y) <int64[6] pads = {0, 0, 1, 0, 0, 1}> { y = Pad<mode = "reflect">(x, pads) }
x[a=N b=4 c=8!]
-> y[a b d=10!]
frozen c d: Pad 'Pad:y': it is padded (reflect)

refuse Pad: channels are reflected
(float[N, 4] x) => (float[] y) <int64[4] pads = {0, 1, 0, 1}> { y = Pad<mode = "reflect">(x, pads) }
x[a=N b=4!]
-> y[a c=6!]
frozen b c: Pad 'Pad:y': it is padded (reflect)

match Pad: channels are cropped
(float[N, 4] x) => (float[] y) <int64[4] pads = {0, -1, 0, 0}> { y = Pad(x, pads) }
x[a=N (1 + b=3)]
-> y[a b]

refuse Pad: pads computed at run time
(float[N, 4] x, int64[P] pads) => (float[] y) { y = Pad(x, pads) }
x[a=N b=4!] pads[c=P]
-> y[d=unk__0 e=unk__1]
frozen a b c d e: Pad 'Pad:y': its pads are computed at run time

match GatherElements: the other axis
(float[3, 4] x, int64[3, 2] i) => (float[] y) { y = GatherElements<axis = 1>(x, i) }
x[a=3 b=4!] i[a c=2!]
-> y[a c]
frozen b c: GatherElements 'GatherElements:y': it is looked up by index

refuse GatherElements: a part of every axis
(float[3, 4] x, int64[2, 2] i) => (float[] y) { y = GatherElements<axis = 1>(x, i) }
x[a=3! b=4!] i[c=2! d=2!]
-> y[c d]
frozen a b c d: GatherElements 'GatherElements:y': it is looked up by index

match ScatterElements: the other axis
(float[3, 4] x, int64[3, 2] i, float[3, 2] u) => (float[] y) { y = ScatterElements<axis = 1>(x, i, u) }
x[a=3 b=4!] i[a c=2!] u[a c]
-> y[a b]
frozen b c: ScatterElements 'ScatterElements:y': it is looked up by index

refuse ScatterElements: a part of every axis
(float[3, 4] x, int64[2, 2] i, float[2, 2] u) => (float[] y) { y = ScatterElements<axis = 1>(x, i, u) }
x[a=3! b=4!] i[c=2! d=2!] u[c d]
-> y[a b]
frozen a b c d: ScatterElements 'ScatterElements:y': it is looked up by index

match GatherND: the rest is carried
(float[3, 4, 5] x, int64[2, 1] i) => (float[] y) { y = GatherND(x, i) }
x[a=3! b=4 c=5] i[d=2! 1]
-> y[d b c]
frozen a d: GatherND 'GatherND:y': it is looked up by index

match GatherND: indices that are known select elements
(float[3, 4, 5] x) => (float[] y) <int64[2, 1] i = {2, 0}> { y = GatherND(x, i) }
x[a=3{0 1 2} b=4 c=5]
-> y[d=2{2 0} b c]

match GatherND: batch dimensions
(float[3, 4, 5] x, int64[3, 1] i) => (float[] y) { y = GatherND<batch_dims = 1>(x, i) }
x[a=3! b=4! c=5] i[a 1]
-> y[a c]
frozen a b: GatherND 'GatherND:y': it is looked up by index

refuse GatherND: every axis is indexed
(float[3, 4] x, int64[2, 2] i) => (float[] y) { y = GatherND(x, i) }
x[a=3! b=4!] i[c=2! d=2!]
-> y[c]
frozen a b c d: GatherND 'GatherND:y': it is looked up by index

match ScatterND: the rest is carried
(float[3, 4] x, int64[2, 1] i, float[2, 4] u) => (float[] y) { y = ScatterND(x, i, u) }
x[a=3! b=4] i[c=2! 1] u[c b]
-> y[a b]
frozen a c: ScatterND 'ScatterND:y': it is looked up by index

match ScatterND: a slice of channels is assigned
(float[N, 5, 4] x, float[N, 3, 4] u) => (float[] y) <int64[3, 1] i = {1, 2, 3}> {
    t = Transpose<perm = [1, 0, 2]>(x)  v = Transpose<perm = [1, 0, 2]>(u)  y = ScatterND(t, i, v)
}
x[a=N (1 + b=3 + 1) c=4] u[a b c]
-> t[(1 + b + 1) a c] v[b a c] y[(1 + b + 1) a c]

match ScatterND: a box of positions, counted from the end too
(float[2, 4, 3] x, float[2, 2, 3] u) => (float[] y) <int64[2, 2, 2] i = {0, -2, 0, -1, 1, -2, 1, -1}> {
    y = ScatterND(x, i, u)
}
x[a=2 (b=2 + c=2) d=3] u[a c d]
-> y[a (b + c) d]

match ScatterND: every second channel
(float[4, 3] x, float[2, 3] u) => (float[] y) <int64[2, 1] i = {0, 2}> { y = ScatterND(x, i, u) }
x[a=4{0 1 2 3} b=3] u[c=2{0 2} b]
-> y[a b]

match ScatterND: one position
(float[4, 3] x, float[1, 3] u) => (float[] y) <int64[1, 1] i = {2}> { y = ScatterND<reduction = "add">(x, i, u) }
x[(a=2 + 1 + 1) b=3] u[1 b]
-> y[(a + 1 + 1) b]

match ScatterND: the first of a run-time number of rows
(float[N, 4] x, float[1, 4] u) => (float[] y) <int64[1, 1] i = {0}> { y = ScatterND(x, i, u) }
x[a=N b=4] u[1 b]
-> y[a b]
frozen a: ScatterND 'ScatterND:y': it is looked up by index

refuse ScatterND: some points of a box
(float[2, 4, 3] x, float[2, 3] u) => (float[] y) <int64[2, 2] i = {0, 1, 1, 2}> { y = ScatterND(x, i, u) }
x[a=2! b=4! c=3] u[d=2! c]
-> y[a b c]
frozen a b d: ScatterND 'ScatterND:y': it is looked up by index

refuse ScatterND: one position twice
(float[4, 3] x, float[2, 3] u) => (float[] y) <int64[2, 1] i = {2, 2}> { y = ScatterND<reduction = "add">(x, i, u) }
x[a=4! b=3] u[c=2! b]
-> y[a b]
frozen a c: ScatterND 'ScatterND:y': it is looked up by index

refuse ScatterND: a position outside of the dimension [not run: malformed]
(float[4, 3] x, float[1, 3] u) => (float[] y) <int64[1, 1] i = {4}> { y = ScatterND(x, i, u) }
x[a=4! b=3!] u[1 c=3!]
-> y[d=4! e=3!]
frozen a b c d e: ScatterND 'ScatterND:y': index 4 lies outside of a dimension of size 4

refuse ScatterND: every axis is indexed
(float[3, 4] x, int64[2, 2] i, float[2] u) => (float[] y) { y = ScatterND(x, i, u) }
x[a=3! b=4!] i[c=2! d=2!] u[c]
-> y[a b]
frozen a b c d: ScatterND 'ScatterND:y': it is looked up by index

match OneHot: classes are new [not run: no parameter]
(int64[2, 3] x) => (float[] y) <int64 depth = {4}, float[2] values> { y = OneHot(x, depth, values) }
x[a=2 b=3] values[c=2!]
-> y[a b d=4!]
frozen c: OneHot 'OneHot:y': operand 2 counts positions, it holds no channels
frozen d: OneHot 'OneHot:y': it counts classes

match Trilu: the first axis is carried
(float[3, 4, 4] x) => (float[] y) { y = Trilu(x) }
x[a=3 b=4! c=4!]
-> y[a b c]
frozen b c: Trilu 'Trilu:y': a triangle is cut out of it

refuse Trilu: both axes are compared
(float[4, 5] x) => (float[] y) <int64 k = {1}> { y = Trilu<upper = 0>(x, k) }
x[a=4! b=5!]
-> y[a b]
frozen a b: Trilu 'Trilu:y': a triangle is cut out of it

match ReverseSequence: channels are carried
(float[5, N, 4] x, int64[N] lengths) => (float[] y) { y = ReverseSequence(x, lengths) }
x[a=5! b=N c=4] lengths[b]
-> y[a b c]
frozen a b: ReverseSequence 'ReverseSequence:y': its order is reversed

refuse ReverseSequence: time and batch
(float[5, 3] x, int64[3] lengths) => (float[] y) { y = ReverseSequence(x, lengths) }
x[a=5! b=3!] lengths[b]
-> y[a b]
frozen a b: ReverseSequence 'ReverseSequence:y': its order is reversed

match GridSample: channels are carried
(float[N, 4, 8, 8] x, float[N, 5, 6, 2] grid) => (float[] y) { y = GridSample(x, grid) }
x[a=N b=4 c=8! d=8!] grid[a e=5! f=6! g=2!]
-> y[a b e f]
frozen c d e f g: GridSample 'GridSample:y': order or identity matters

match RoiAlign: channels are carried
(float[N, 4, 8, 8] x, float[R, 4] boxes, int64[R] batch) => (float[] y)
{ y = RoiAlign<output_height = 2, output_width = 2>(x, boxes, batch) }
x[a=N b=4 c=8! d=8!] boxes[e=R f=4!] batch[g=R]
-> y[h=R b i=2! j=2!]
frozen a c d h i j: RoiAlign 'RoiAlign:y': order or identity matters
frozen e f: RoiAlign 'RoiAlign:y': operand 1 counts positions, it holds no channels
frozen g: RoiAlign 'RoiAlign:y': operand 2 counts positions, it holds no channels

match RandomUniformLike: beside free channels
(float[N, 4] x, float[N, 3] z) => (float[] y, float[] r) { y = RandomUniformLike(x) r = Relu(z) }
x[a=N b=4!] z[c=N d=3]
-> y[a b] r[c d]
frozen a b: RandomUniformLike 'RandomUniformLike:y': its elements are drawn at random

refuse RandomUniformLike: as large as the operand
(float[N, 4] x) => (float[] y) { y = RandomUniformLike(x) }
x[a=N b=4!]
-> y[a b]
frozen a b: RandomUniformLike 'RandomUniformLike:y': its elements are drawn at random

match RandomNormalLike: beside free channels
(float[N, 4] x, float[N, 3] z) => (float[] y, float[] r) { y = RandomNormalLike(x) r = Relu(z) }
x[a=N b=4!] z[c=N d=3]
-> y[a b] r[c d]
frozen a b: RandomNormalLike 'RandomNormalLike:y': its elements are drawn at random

refuse RandomNormalLike: as large as the operand
(float[N, 4] x) => (float[] y) { y = RandomNormalLike(x) }
x[a=N b=4!]
-> y[a b]
frozen a b: RandomNormalLike 'RandomNormalLike:y': its elements are drawn at random

match Bernoulli: beside free channels
(float[N, 4] x, float[N, 3] z) => (float[] y, float[] r) { y = Bernoulli(x) r = Relu(z) }
x[a=N b=4!] z[c=N d=3]
-> y[a b] r[c d]
frozen a b: Bernoulli 'Bernoulli:y': its elements are drawn at random

refuse Bernoulli: as large as the operand
(float[N, 4] x) => (float[] y) { y = Bernoulli(x) }
x[a=N b=4!]
-> y[a b]
frozen a b: Bernoulli 'Bernoulli:y': its elements are drawn at random

match DFT: other axes are carried
(float[N, 4, 8, 1] x) => (float[] y) <int64 axis = {2}> { y = DFT(x, , axis) }
x[a=N b=4 c=8! 1]
-> y[a b d=8! e=2!]
frozen c d e: DFT 'DFT:y': it becomes frequencies

match DFT: the axis is an attribute [opset 17]
(float[N, 4, 8, 1] x) => (float[] y) { y = DFT<axis = 2, onesided = 1>(x) }
x[a=N b=4 c=8! 1]
-> y[a b d=5! e=2!]
frozen c d e: DFT 'DFT:y': it becomes frequencies

refuse DFT: the axis is computed at run time [not run: no kernel]
(float[N, 4, 8, 1] x, int64 axis) => (float[] y) { y = DFT(x, , axis) }
x[a=N b=4! c=8! 1] axis[]
-> y[d=N e=4! f=8! g=2!]
frozen a b c d e f g: DFT 'DFT:y': axis (operand 2) is computed at run time

match STFT: beside free channels
(float[N, 64, 1] x, float[N, 3] z) => (float[] y, float[] r) <int64 step = {8}, float[16] w>
{ y = STFT(x, step, w) r = Relu(z) }
x[a=N b=64! 1] z[c=N d=3] w[e=16!]
-> y[a f=7! g=16! h=2!] r[c d]
frozen b e f g h: STFT 'STFT:y': order or identity matters

match STFT: without a window, beside free channels
(float[N, 64] x, float[N, 3] z) => (float[] y, float[] r) <int64 step = {8}, int64 length = {16}>
{ y = STFT(x, step, , length) r = Relu(z) }
x[a=N b=64!] z[c=N d=3]
-> y[a e=7! f=16! g=2!] r[c d]
frozen b e f g: STFT 'STFT:y': order or identity matters

match EyeLike: beside free channels
(float[4, 5] x, float[N, 3] z) => (float[] y, float[] r) { y = EyeLike(x) r = Relu(z) }
x[a=4! b=5!] z[c=N d=3]
-> y[a b] r[c d]
frozen a b: EyeLike 'EyeLike:y': order or identity matters

refuse EyeLike: as large as the operand
(float[4, 5] x) => (float[] y) { y = EyeLike(x) }
x[a=4! b=5!]
-> y[a b]
frozen a b: EyeLike 'EyeLike:y': order or identity matters

match NonZero: beside free channels
(float[N, 4] x, float[N, 3] z) => (int64[] y, float[] r) { y = NonZero(x) r = Relu(z) }
x[a=N b=4!] z[c=N d=3]
-> y[e=2! f=unk__0] r[c d]
frozen a b e f: NonZero 'NonZero:y': the positions of its elements count

refuse NonZero: positions count
(float[N, 4] x) => (int64[] y) { y = NonZero(x) }
x[a=N b=4!]
-> y[c=2! d=unk__0]
frozen a b c d: NonZero 'NonZero:y': the positions of its elements count

match NonMaxSuppression: beside free channels
(float[N, S, 4] boxes, float[N, C, S] scores, float[N, 3] x) => (int64[] y, float[] z)
{ y = NonMaxSuppression(boxes, scores) z = Relu(x) }
boxes[a=N b=S c=4!] scores[a d=C b] x[e=N f=3]
-> y[g=unk__0 h=3!] z[e f]
frozen a b c d: NonMaxSuppression 'NonMaxSuppression:y': order or identity matters
frozen g h: NonMaxSuppression 'NonMaxSuppression:y': its result holds no channels

refuse NonMaxSuppression: everything is counted
(float[1, 8, 4] boxes, float[1, 3, 8] scores) => (int64[] y) { y = NonMaxSuppression(boxes, scores) }
boxes[1 a=8! b=4!] scores[1 c=3! a]
-> y[d=unk__0 e=3!]
frozen a b c: NonMaxSuppression 'NonMaxSuppression:y': order or identity matters
frozen d e: NonMaxSuppression 'NonMaxSuppression:y': its result holds no channels
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_axes(case: Case) -> None:
    check_case(case)
