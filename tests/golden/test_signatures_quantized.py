"""Golden cases of quantized operators: scales and zero points that go with an axis."""

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match QuantizeLinear: one scale
(float[N, 4] x) => (uint8[] y) <float scale, uint8 zero> { y = QuantizeLinear(x, scale, zero) }
x[a=N b=4]
-> y[a b]

match QuantizeLinear: a scale for every channel
(float[N, 4, 8] x) => (uint8[] y) <float[4] scale, uint8[4] zero> { y = QuantizeLinear<axis = 1>(x, scale, zero) }
x[a=N b=4 c=8] scale[b] zero[b]
-> y[a b c]
group scale:0 mlp 4: scale:0 zero:0

match QuantizeLinear: whole blocks [opset 21]
(float[3, 4] x) => (uint8[] y) <float[3, 2] scale> { y = QuantizeLinear<axis = 1, block_size = 2>(x, scale) }
x[a=3 (b=2 c=2!)] scale[a b]
-> y[a (b c)]
group scale:0 mlp 3: scale:0
group scale:1 mlp 2: scale:1
frozen c: QuantizeLinear 'QuantizeLinear:y': a block of elements shares a scale

refuse QuantizeLinear: the last block is not full [opset 21]
(float[3, 5] x) => (uint8[] y) <float[3, 3] scale> { y = QuantizeLinear<axis = 1, block_size = 2>(x, scale) }
x[a=3! b=5!] scale[c=3! d=3!]
-> y[e=3! f=5!]
frozen a b c d e f: QuantizeLinear 'QuantizeLinear:y': the scales do not fit whole blocks of 2 along
    dimension 1

match DequantizeLinear: one scale
(uint8[N, 4] x) => (float[] y) <float scale, uint8 zero> { y = DequantizeLinear(x, scale, zero) }
x[a=N b=4]
-> y[a b]

match DequantizeLinear: a scale for every output channel of a weight
(float[N, 4, 8] x) => (float[] y) <int8[6, 4, 3] w, float[6] scale, int8[6] zero>
{ d = DequantizeLinear<axis = 0>(w, scale, zero) y = Conv(x, d) }
x[a=N b=4 c=8!] w[d=6 b e=3!] scale[d] zero[d]
-> d[d b e] y[a d f=6!]
group w:1 channels 4: w:1
group w:0 channels 6: w:0 scale:0 zero:0
frozen c e f: Conv 'Conv:y': the window of a convolution slides over it

match DequantizeLinear: whole blocks of a weight [opset 21]
(float[N, 4] x) => (float[] y) <int4[4, 6] w, float[2, 6] scale, int4[2, 6] zero>
{ d = DequantizeLinear<axis = 0, block_size = 2>(w, scale, zero) y = MatMul(x, d) }
x[a=N (b=2 c=2!)] w[(b c) d=6] scale[b d] zero[b d]
-> d[(b c) d] y[a d]
group scale:0 mlp 2: scale:0 w:0 zero:0
group scale:1 mlp 6: scale:1 w:1 zero:1
frozen c: DequantizeLinear 'DequantizeLinear:d': a block of elements shares a scale

refuse DequantizeLinear: the last block is not full [opset 21]
(uint8[4, 3] x) => (float[] y) <float[4, 2] scale> { y = DequantizeLinear<axis = 1, block_size = 2>(x, scale) }
x[a=4! b=3!] scale[c=4! d=2!]
-> y[e=4! f=3!]
frozen a b c d e f: DequantizeLinear 'DequantizeLinear:y': the scales do not fit whole blocks of 2 along
    dimension 1

match DynamicQuantizeLinear: statistics over everything
(float[N, 4] x) => (uint8[] y, float s, uint8 z) { y, s, z = DynamicQuantizeLinear(x) }
x[a=N b=4]
-> y[a b] s[] z[]

match QLinearConv: a scale for every output channel
(uint8[N, 4, 8] x) => (uint8[] y)
<float xscale, uint8 xz, int8[6, 4, 3] w, float[6] wscale, int8[6] wz, float yscale, uint8 yz, int32[6] b>
{ y = QLinearConv(x, xscale, xz, w, wscale, wz, yscale, yz, b) }
x[a=N b=4 c=8!] w[d=6 b e=3!] wscale[d] wz[d] b[d]
-> y[a d f=6!]
group w:1 channels 4: w:1
group w:0 channels 6: w:0 b:0 wscale:0 wz:0
frozen c e f: QLinearConv 'QLinearConv:y': the window of a convolution slides over it

match QLinearConv: grouped with one scale
(uint8[N, 4, 8] x) => (uint8[] y)
<float xscale, uint8 xz, uint8[6, 2, 3] w, float wscale, uint8 wz, float yscale, uint8 yz>
{ y = QLinearConv<group = 2>(x, xscale, xz, w, wscale, wz, yscale, yz) }
x[a=N (b=2 c=2) d=8!] w[(b e=3) c f=3!]
-> y[a (b e) g=6!]
group w:0 groups 2: w:0
group w:1 channels 2: w:1
group w:0_1 channels 3: w:0
frozen d f g: QLinearConv 'QLinearConv:y': the window of a convolution slides over it

refuse QLinearConv: scales of two dimensions [not run: malformed]
(uint8[N, 4, 8] x) => (uint8[] y)
<float xscale, uint8 xz, uint8[6, 4, 3] w, float[2, 3] wscale, uint8 wz, float yscale, uint8 yz>
{ y = QLinearConv(x, xscale, xz, w, wscale, wz, yscale, yz) }
x[a=N b=4! c=8!] w[d=6! e=4! f=3!] wscale[g=2! h=3!]
-> y[i=N j=6! k=6!]
frozen a b c d e f g h i j k: QLinearConv 'QLinearConv:y': operand 4: scales of rank 2

match QLinearMatMul: a scale for every column
(uint8[N, 4] x) => (uint8[] y)
<float xscale, uint8 xz, uint8[4, 6] w, float[6] wscale, uint8[6] wz, float yscale, uint8 yz>
{ y = QLinearMatMul(x, xscale, xz, w, wscale, wz, yscale, yz) }
x[a=N b=4] w[b c=6] wscale[c] wz[c]
-> y[a c]
group w:0 mlp 4: w:0
group wscale:0 mlp 6: w:1 wscale:0 wz:0

refuse QLinearMatMul: a scalar operand [not run: malformed]
(uint8 x) => (uint8[] y)
<float xscale, uint8 xz, uint8[4, 6] w, float wscale, uint8 wz, float yscale, uint8 yz>
{ y = QLinearMatMul(x, xscale, xz, w, wscale, wz, yscale, yz) }
x[] w[a=4! b=6!]
-> y[?]
frozen a b: QLinearMatMul 'QLinearMatMul:y': an operand is a scalar

match ConvInteger: with zero points
(uint8[N, 4, 8] x) => (int32[] y) <uint8[6, 4, 3] w, uint8 xz, uint8 wz> { y = ConvInteger(x, w, xz, wz) }
x[a=N b=4 c=8!] w[d=6 b e=3!]
-> y[a d f=6!]
group w:0 channels 6: w:0
group w:1 channels 4: w:1
frozen c e f: ConvInteger 'ConvInteger:y': the window of a convolution slides over it

match ConvInteger: grouped without zero points
(uint8[N, 4, 8] x) => (int32[] y) <uint8[6, 2, 3] w> { y = ConvInteger<group = 2>(x, w) }
x[a=N (b=2 c=2) d=8!] w[(b e=3) c f=3!]
-> y[a (b e) g=6!]
group w:0 groups 2: w:0
group w:1 channels 2: w:1
group w:0_1 channels 3: w:0
frozen d f g: ConvInteger 'ConvInteger:y': the window of a convolution slides over it

match MatMulInteger: a zero point for every column
(uint8[N, 4] x) => (int32[] y) <uint8[4, 6] w, uint8 xz, uint8[6] wz> { y = MatMulInteger(x, w, xz, wz) }
x[a=N b=4] w[b c=6] wz[c]
-> y[a c]
group w:0 mlp 4: w:0
group wz:0 mlp 6: w:1 wz:0
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_axes(case: Case) -> None:
    check_case(case)
