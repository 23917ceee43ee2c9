"""Golden cases: the nearest graph that an operator refuses, where its matching case stands in another file."""

from __future__ import annotations

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
refuse OneHot: one class of each
(int64 x) => (float[] y) <int64 depth = {4}, float[2] values> { y = OneHot(x, depth, values) }
x[] values[a=2!]
-> y[b=?1]
frozen a: OneHot 'OneHot:y': operand 2 counts positions, it holds no channels
frozen b: OneHot 'OneHot:y': it counts classes

refuse RNN: weights of two sizes [not run: malformed]
(float[T, N, 4] x) => (float[T, 1, N, 5] y) <float[1, 5, 4] w, float[1, 6, 6] r> { y = RNN<hidden_size = 5>(x, w, r) }
x[a=T b=N c=4] w[1 d=5! c] r[1 e=6! f=6!]
-> y[a 1 b d]
group w:2 mlp 4: w:2
frozen a: RNN 'RNN:y': it counts steps, directions or gates of a recurrent cell
frozen d e f: RNN 'RNN:y': sizes 5 and 6 do not agree

refuse GlobalAveragePool: a vector [not run: malformed]
(float[4] x) => (float[4] y) { y = GlobalAveragePool(x) }
x[a=4!]
-> y[b=4!]
frozen a b: GlobalAveragePool 'GlobalAveragePool:y': operand has rank 1, its signature says 2

refuse RoiAlign: one channel
(float[1, 1, 8, 8] x, float[3, 4] boxes, int64[3] batch) => (float[] y)
{ y = RoiAlign<output_height = 2, output_width = 2>(x, boxes, batch) }
x[1 1 a=8! b=8!] boxes[c=3! d=4!] batch[e=3!]
-> y[f=3! 1 g=2! h=2!]
frozen a b f g h: RoiAlign 'RoiAlign:y': order or identity matters
frozen c d: RoiAlign 'RoiAlign:y': operand 1 counts positions, it holds no channels
frozen e: RoiAlign 'RoiAlign:y': operand 2 counts positions, it holds no channels

refuse STFT: a signal
(float[1, 64, 1] x) => (float[] y) <int64 step = {8}, float[16] w> { y = STFT(x, step, w) }
x[1 a=64! 1] w[b=16!]
-> y[1 c=7! d=16! e=2!]
frozen a b c d e: STFT 'STFT:y': order or identity matters

refuse InstanceNormalization: a scale of another width [not run: malformed]
(float[N, 4, 8] x) => (float[N, 4, 8] y) <float[5] g, float[5] b> { y = InstanceNormalization(x, g, b) }
x[a=N b=4! c=8] g[d=5!] b[e=5!]
-> y[a b c]
frozen b d e: InstanceNormalization 'InstanceNormalization:y': sizes 4 and 5 do not agree

refuse LRN: a vector [not run: malformed]
(float[4] x) => (float[4] y) { y = LRN<size = 3>(x) }
x[a=4!]
-> y[b=4!]
frozen a b: LRN 'LRN:y': operand has rank 1, its signature says 2

refuse LpNormalization: an axis that is not there [not run: malformed]
(float[N, 4] x) => (float[N, 4] y) { y = LpNormalization<axis = 3>(x) }
x[a=N b=4!]
-> y[c=N d=4!]
frozen a b c d: LpNormalization 'LpNormalization:y': axis=3 is outside rank 2

refuse MeanVarianceNormalization: axes that are not there [not run: malformed]
(float[N, 4] x) => (float[N, 4] y) { y = MeanVarianceNormalization(x) }
x[a=N b=4!]
-> y[c=N d=4!]
frozen a b c d: MeanVarianceNormalization 'MeanVarianceNormalization:y': its attributes or operands make no
    sense (IndexError: list index out of range)

refuse ConvInteger: groups that do not fit [not run: malformed]
(uint8[1, 4, 8] x) => (int32[1, 6, 6] y) <uint8[6, 2, 3] w> { y = ConvInteger<group = 3>(x, w) }
x[1 a=4! b=8!] w[c=6! d=2! e=3!]
-> y[1 f=6! g=6!]
frozen a b c d e f g: ConvInteger 'ConvInteger:y': size 4 is not a multiple of 3

refuse MatMulInteger: widths that differ [not run: malformed]
(uint8[3, 4] x) => (int32[3, 6] y) <uint8[5, 6] w> { y = MatMulInteger(x, w) }
x[a=3 b=4!] w[c=5! d=6]
-> y[a d]
group w:1 mlp 6: w:1
frozen b c: MatMulInteger 'MatMulInteger:y': sizes 4 and 5 do not agree

refuse com.microsoft::DynamicQuantizeMatMul: scales in a matrix [not run: malformed]
(float[3, 4] x) => (float[3, 6] y) <int8[4, 6] w, float[2, 3] wscale>
{ y = com.microsoft.DynamicQuantizeMatMul(x, w, wscale) }
x[a=3! b=4!] w[c=4! d=6!] wscale[e=2! f=3!]
-> y[g=3! h=6!]
frozen a b c d e f g h: com.microsoft::DynamicQuantizeMatMul 'DynamicQuantizeMatMul:y': operand 2: scales of
    rank 2

refuse com.microsoft::MatMulIntegerToFloat: scales in a matrix [not run: malformed]
(uint8[3, 4] x) => (float[3, 6] y) <uint8[4, 6] w, float xscale, float[2, 3] wscale>
{ y = com.microsoft.MatMulIntegerToFloat(x, w, xscale, wscale) }
x[a=3! b=4!] w[c=4! d=6!] wscale[e=2! f=3!]
-> y[g=3! h=6!]
frozen a b c d e f g h: com.microsoft::MatMulIntegerToFloat 'MatMulIntegerToFloat:y': operand 3: scales of
    rank 2

refuse com.microsoft::QLinearAdd: widths that differ [not run: malformed]
(uint8[2, 4] x) => (uint8[2, 4] y)
<float xscale, uint8 xz, uint8[5] c, float cscale, uint8 cz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearAdd(x, xscale, xz, c, cscale, cz, yscale, yz) }
x[a=2 b=4!] c[c=5!]
-> y[a b]
frozen b c: com.microsoft::QLinearAdd 'QLinearAdd:y': sizes 4 and 5 do not agree

refuse com.microsoft::QLinearAveragePool: one channel
(uint8[1, 1, 4, 4] x) => (uint8[1, 1, 3, 3] y) <float xscale, uint8 xz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearAveragePool<kernel_shape = [2, 2]>(x, xscale, xz, yscale, yz) }
x[1 1 a=4! b=4!]
-> y[1 1 c=3! d=3!]
frozen a b c d: com.microsoft::QLinearAveragePool 'QLinearAveragePool:y': the window of a pooling slides
    over it

refuse com.microsoft::QLinearConcat: an axis that is not there [not run: malformed]
(uint8[2, 4] x, uint8[2, 5] z) => (uint8[2, 9] y)
<float yscale, uint8 yz, float xscale, uint8 xz, float zscale, uint8 zz>
{ y = com.microsoft.QLinearConcat<axis = 2>(yscale, yz, x, xscale, xz, z, zscale, zz) }
x[a=2! b=4!] z[c=2! d=5!]
-> y[e=2! f=9!]
frozen a b c d e f: com.microsoft::QLinearConcat 'QLinearConcat:y': axis=2 is outside rank 2

refuse com.microsoft::QLinearGlobalAveragePool: a vector [not run: malformed]
(uint8[4] x) => (uint8[4] y) <float xscale, uint8 xz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearGlobalAveragePool(x, xscale, xz, yscale, yz) }
x[a=4!]
-> y[b=4!]
frozen a b: com.microsoft::QLinearGlobalAveragePool 'QLinearGlobalAveragePool:y': operand has rank 1, its
    signature says 2

refuse com.microsoft::QLinearSoftmax: its own axis
(uint8[1, 4] x) => (uint8[1, 4] y) <float xscale, uint8 xz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearSoftmax<axis = -1, opset = 13>(x, xscale, xz, yscale, yz) }
x[1 a=4!]
-> y[1 a]
frozen a: com.microsoft::QLinearSoftmax 'QLinearSoftmax:y': a softmax is taken over it

refuse com.microsoft::SkipLayerNormalization: a scale of another width [not run: malformed]
(float[2, 3, 4] x, float[2, 3, 4] s) => (float[2, 3, 4] y) <float[5] scale, float[5] beta>
{ y = com.microsoft.SkipLayerNormalization(x, s, scale, beta) }
x[a=2 b=3 c=4!] s[a b c] scale[d=5!] beta[e=5!]
-> y[a b c]
frozen c d e: com.microsoft::SkipLayerNormalization 'SkipLayerNormalization:y': sizes 4 and 5 do not agree

refuse com.microsoft::SkipSimplifiedLayerNormalization: a scale of another width [not run: malformed]
(float[2, 3, 4] x, float[2, 3, 4] s) => (float[2, 3, 4] y) <float[5] scale>
{ y = com.microsoft.SkipSimplifiedLayerNormalization(x, s, scale) }
x[a=2 b=3 c=4!] s[a b c] scale[d=5!]
-> y[a b c]
frozen c d: com.microsoft::SkipSimplifiedLayerNormalization 'SkipSimplifiedLayerNormalization:y': sizes 4
    and 5 do not agree
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    check_case(case)
