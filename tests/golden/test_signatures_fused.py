"""Golden cases: optional values, known conditions, ONNX Runtime's fused operators, quantizers of QONNX."""

from __future__ import annotations

import pytest

from irprune.signatures import OPERATORS
from tests.golden.helpers.cases import Case, check_case, parse_cases

QUANTIZERS = sorted(name for name in OPERATORS if name.startswith(("qonnx.", "onnx.brevitas")))

QUANTIZED = """
match DOMAIN::OP: scales per channel [not run: no kernel]
(float[N, 4, 5, 5] x) => (float[] y) <float[6, 4, 1, 1] w, float[4, 1, 1] scale, float z, float bits>
{ q = DOMAIN.OP(x, scale, z, bits) y = Conv(q, w) }
x[a=N b=4 c=5 d=5] w[e=6 b 1 1] scale[b 1 1]
-> q[a b c d] y[a e c d]
group w:0 channels 6: w:0
group scale:0 channels 4: w:1 scale:0
"""

CASES = parse_cases(
    """
match Compress: known elements
(float[N, 4] x) => (float[] y) <float[4, 6] w, bool[6] c = {1, 0, 1, 1, 0, 1}>
{ h = MatMul(x, w) y = Compress<axis = 1>(h, c) }
x[a=N b=4] w[b c=6{0 1 2 3 4 5}]
-> h[a c] y[a d=4{0 2 3 5}]
group w:0 mlp 4: w:0
group w:1 mlp 6: w:1

match Compress: one known element
(float[N, 4] x) => (float[] y) <float[4, 6] w, bool[6] c = {0, 0, 1, 0, 0, 0}>
{ h = MatMul(x, w) y = Compress<axis = 1>(h, c) }
x[a=N b=4] w[b (c=2 + 1 + d=3)]
-> h[a (c + 1 + d)] y[a 1]
group w:0 mlp 4: w:0
group w:1 mlp 2: w:1
group w:1_1 mlp 3: w:1

refuse Compress: a known condition that is shorter
(float[N, 4] x) => (float[] y) <float[4, 6] w, bool[3] c = {1, 0, 1}>
{ h = MatMul(x, w) y = Compress<axis = 1>(h, c) }
x[a=N b=4] w[b c=6!]
-> h[a c] y[a d=unk__0]
group w:0 mlp 4: w:0
frozen c d: Compress 'Compress:y': it is looked up by index

match Optional: one tensor
(float[N, 4] x) => (float[] y) { o = Optional(x) y = OptionalGetElement(o) }
x[a=N b=4]
-> o[a b] y[a b]

refuse Optional: a tensor of unknown rank
(float[] x) => (float[] y) { o = Optional(x) y = OptionalGetElement(o) }
x[?]
-> o[?] y[?]
refused Optional 'Optional:o': the rank of 'x' is unknown
refused OptionalGetElement 'OptionalGetElement:y': the rank of 'o' is unknown

match OptionalGetElement: one tensor
(float[N, 4] x) => (float[] y) { o = Optional(x) y = OptionalGetElement(o) }
x[a=N b=4]
-> o[a b] y[a b]

match OptionalHasElement: one tensor
(float[N, 4] x) => (float[] y, bool b) { y = Relu(x) o = Optional(y) b = OptionalHasElement(o) }
x[a=N b=4]
-> y[a b] o[a b] b[]

refuse OptionalHasElement: a tensor of unknown rank
(float[] x) => (bool b) { o = Optional(x) b = OptionalHasElement(o) }
x[?]
-> o[?] b[]
refused Optional 'Optional:o': the rank of 'x' is unknown
refused OptionalHasElement 'OptionalHasElement:b': the rank of 'o' is unknown

match BitCast: bits of floats [opset 26] [not run: no kernel]
(float[N, 4] x) => (float[] y) { h = BitCast<to = 6>(x) y = BitCast<to = 1>(h) }
x[a=N b=4]
-> h[a b] y[a b]

match Scatter: another axis [opset 9]
(float[5, 4] x, int64[2, 4] i, float[2, 4] u) => (float[] y) { y = Scatter<axis = 0>(x, i, u) }
x[a=5! b=4] i[c=2! b] u[c b]
-> y[a b]
frozen a c: Scatter 'Scatter:y': it is looked up by index

match CausalConvWithState: a kernel per channel [opset 27] [not run: no kernel]
(float[N, 4, 8] x, float[N, 4, 2] p) => (float[] y, float[] q) <float[4, 1, 3] w, float[4] b>
{ y, q = CausalConvWithState(x, w, b, p) }
x[a=N b=4 c=8!] p[a b d=2!] w[b 1 e=3!] b[b]
-> y[a b c] q[a b d]
group w:0 mlp 4: w:0 b:0
frozen c d e: CausalConvWithState 'CausalConvWithState:y': the window of a convolution slides over it

refuse CausalConvWithState: an image [opset 27]
(float[N, 4, 8, 8] x) => (float[] y, float[] q) <float[4, 1, 3] w> { y, q = CausalConvWithState(x, w) }
x[a=N b=4! c=8! d=8!] w[e=4! 1 f=3!]
-> y[?] q[?]
frozen a b c d e f: CausalConvWithState 'CausalConvWithState:y': operand has rank 4, its signature says 3

match com.microsoft::GemmFastGelu: a dense layer [not run: no kernel]
(float[N, 3, 4] x) => (float[] y) <float[4, 6] w, float[6] b> { y = com.microsoft.GemmFastGelu(x, w, b) }
x[a=N b=3 c=4] w[c d=6] b[d]
-> y[a b d]
group w:0 mlp 4: w:0
group b:0 mlp 6: w:1 b:0

refuse com.microsoft::GemmFastGelu: a stack of weights
(float[N, 3, 4] x) => (float[] y) <float[2, 4, 6] w> { y = com.microsoft.GemmFastGelu(x, w) }
x[a=N b=3! c=4!] w[d=2! e=4! f=6!]
-> y[?]
frozen a b c d e f: com.microsoft::GemmFastGelu 'GemmFastGelu:y': operand has rank 3, its signature says 2

match com.microsoft::BiasSplitGelu: two halves [not run: no kernel]
(float[N, 3, 8] x) => (float[] y) <float[8] b> { y = com.microsoft.BiasSplitGelu(x, b) }
x[a=N b=3 (c=2! d=4)] b[(c d)]
-> y[a b d]
group b:0_1 mlp 4: b:0
frozen c: com.microsoft::BiasSplitGelu 'BiasSplitGelu:y': order or identity matters

refuse com.microsoft::BiasSplitGelu: a matrix
(float[3, 8] x) => (float[] y) <float[8] b> { y = com.microsoft.BiasSplitGelu(x, b) }
x[a=3! b=8!] b[c=8!]
-> y[?]
frozen a b c: com.microsoft::BiasSplitGelu 'BiasSplitGelu:y': operand has rank 2, its signature says 3

match com.microsoft::ScaledSiLU: element-wise
(float[N, 4] x) => (float[N, 4] y) { y = com.microsoft.ScaledSiLU(x) }
x[a=N b=4]
-> y[a b]

refuse com.microsoft::ScaledSiLU: a tensor of unknown rank
(float[] x) => (float[] y) { y = com.microsoft.ScaledSiLU(x) }
x[?]
-> y[?]
refused com.microsoft::ScaledSiLU 'ScaledSiLU:y': the rank of 'x' is unknown

match com.microsoft::GroupNorm: channels last [not run: no kernel]
(float[N, 4, 4, 6] x) => (float[] y) <float[6] g, float[6] b>
{ y = com.microsoft.GroupNorm<groups = 3, activation = 1>(x, g, b) }
x[a=N b=4 c=4 (d=3 e=2)] g[(d e)] b[(d e)]
-> y[a b c (d e)]
group b:0 mlp 3: b:0 g:0
group b:0_1 hidden 2: b:0 g:0 (inexact)

refuse com.microsoft::GroupNorm: a scale that is a matrix
(float[N, 4, 4, 6] x) => (float[] y) <float[3, 2] g, float[6] b>
{ y = com.microsoft.GroupNorm<groups = 3, activation = 0>(x, g, b) }
x[a=N b=4! c=4! (d=3! e=2!)] g[f=3! g=2!] b[h=6!]
-> y[?]
frozen a b c d e f g h: com.microsoft::GroupNorm 'GroupNorm:y': operand has rank 2, its signature says 1

match com.microsoft::NhwcConv: channels last [not run: no kernel]
(float[N, 5, 5, 4] x) => (float[] y) <float[6, 3, 3, 4] w, float[6] b> { y = com.microsoft.NhwcConv(x, w, b) }
x[a=N b=5! c=5! d=4] w[e=6 f=3! g=3! d] b[e]
-> y[a h=?1 i=?2 e]
group w:3 channels 4: w:3
group w:0 channels 6: w:0 b:0
frozen b c f g h i: com.microsoft::NhwcConv 'NhwcConv:y': the window of a convolution slides over it

refuse com.microsoft::NhwcConv: an image of unknown rank
(float[] x) => (float[] y) <float[6, 3, 3, 4] w> { y = com.microsoft.NhwcConv(x, w) }
x[?] w[a=6! b=3! c=3! d=4!]
-> y[?]
frozen a b c d: com.microsoft::NhwcConv 'NhwcConv:y': the rank of 'x' is unknown

match com.microsoft::NhwcMaxPool: channels last
(uint8[N, 4, 4, 6] x) => (uint8[N, 3, 3, 6] y) { y = com.microsoft.NhwcMaxPool<kernel_shape = [2, 2]>(x) }
x[a=N b=4! c=4! d=6]
-> y[a e=3! f=3! d]
frozen b c e f: com.microsoft::NhwcMaxPool 'NhwcMaxPool:y': the window of a pooling slides over it

refuse com.microsoft::NhwcMaxPool: a tensor of unknown rank
(uint8[] x) => (uint8[] y) { y = com.microsoft.NhwcMaxPool<kernel_shape = [2, 2]>(x) }
x[?]
-> y[?]
refused com.microsoft::NhwcMaxPool 'NhwcMaxPool:y': the shape of operand 0 is unknown

match com.microsoft::TransposeMatMul: a transposed factor
(float[N, 4] x) => (float[N, 6] y) <float[6, 4] w> { y = com.microsoft.TransposeMatMul<transB = 1>(x, w) }
x[a=N b=4] w[c=6 b]
-> y[a c]
group w:0 mlp 6: w:0
group w:1 mlp 4: w:1

match com.microsoft::QLinearWhere: of two tensors
(bool[N, 4] c, uint8[N, 4] a, uint8[N, 4] b) => (uint8[N, 4] y) <float scale, uint8 z = {3}>
{ y = com.microsoft.QLinearWhere(c, a, scale, z, b, scale, z, scale, z) }
c[a=N b=4] a[a b] b[a b]
-> y[a b]

refuse com.microsoft::QLinearWhere: a condition of unknown rank
(bool[] c, uint8[N, 4] a, uint8[N, 4] b) => (uint8[] y) <float scale, uint8 z = {3}>
{ y = com.microsoft.QLinearWhere(c, a, scale, z, b, scale, z, scale, z) }
c[?] a[a=N b=4!] b[c=N d=4!]
-> y[?]
frozen a b c d: com.microsoft::QLinearWhere 'QLinearWhere:y': the shape of operand 0 is unknown

match com.microsoft::GatherND: rows by index
(float[5, 4] x, int64[3, 1] i) => (float[3, 4] y) { y = com.microsoft.GatherND(x, i) }
x[a=5! b=4] i[c=3! 1]
-> y[c b]
frozen a c: com.microsoft::GatherND 'GatherND:y': it is looked up by index

match com.microsoft::GridSample: channels
(float[N, 4, 5, 5] x, float[N, 3, 3, 2] g) => (float[N, 4, 3, 3] y) { y = com.microsoft.GridSample(x, g) }
x[a=N b=4 c=5! d=5!] g[a e=3! f=3! g=2!]
-> y[a b e f]
frozen c d e f g: com.microsoft::GridSample 'GridSample:y': order or identity matters

refuse com.microsoft::GridSample: a vector of positions
(float[N, 4, 5, 5] x, float[3] g) => (float[N, 4, 3, 3] y) { y = com.microsoft.GridSample(x, g) }
x[a=N b=4! c=5! d=5!] g[e=3!]
-> y[f=N g=4! h=3! i=3!]
frozen a b c d e f g h i: com.microsoft::GridSample 'GridSample:y': operand has rank 1, its signature says 2

match com.microsoft::Inverse: a batch of matrices
(float[4, 3, 3] x) => (float[4, 3, 3] y) { y = com.microsoft.Inverse(x) }
x[a=4 b=3! c=3!]
-> y[a b c]
frozen b c: com.microsoft::Inverse 'Inverse:y': a matrix is inverted

refuse com.microsoft::Inverse: a vector
(float[3] x) => (float[] y) { y = com.microsoft.Inverse(x) }
x[a=3!]
-> y[?]
frozen a: com.microsoft::Inverse 'Inverse:y': operand has rank 1, its signature says 2

match com.microsoft::Trilu: a batch of matrices
(float[4, 3, 3] x) => (float[4, 3, 3] y) { y = com.microsoft.Trilu(x) }
x[a=4 b=3! c=3!]
-> y[a b c]
frozen b c: com.microsoft::Trilu 'Trilu:y': a triangle is cut out of it
"""
) + [
    case
    for name in QUANTIZERS
    for case in parse_cases(QUANTIZED.replace("DOMAIN::OP", name).replace("DOMAIN.OP", name.replace("::", ".")))
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_golden(case: Case) -> None:
    check_case(case)
