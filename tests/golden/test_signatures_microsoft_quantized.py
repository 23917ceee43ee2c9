"""Golden cases of com.microsoft: ONNX Runtime's quantized operators."""

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match com.microsoft::QGemm: a scale for every column and a bias
(uint8[3, 4] x) => (uint8[3, 6] y)
<float xscale, uint8 xz, int8[6, 4] w, float[6] wscale, int8[6] wz, int32[6] b, float yscale, uint8 yz>
{ y = com.microsoft.QGemm<transB = 1>(x, xscale, xz, w, wscale, wz, b, yscale, yz) }
x[a=3 b=4] w[c=6 b] wscale[c] wz[c] b[c]
-> y[a c]
group w:1 mlp 4: w:1
group w:0 mlp 6: w:0 b:0 wscale:0 wz:0

match com.microsoft::QGemm: a result that is not quantized
(uint8[3, 4] x) => (float[3, 6] y) <float xscale, uint8 xz, int8[4, 6] w, float wscale, int8 wz>
{ y = com.microsoft.QGemm(x, xscale, xz, w, wscale, wz) }
x[a=3 b=4] w[b c=6]
-> y[a c]
group w:0 mlp 4: w:0
group w:1 mlp 6: w:1

refuse com.microsoft::QGemm: scales of two dimensions [not run: malformed]
(uint8[3, 4] x) => (uint8[3, 6] y)
<float xscale, uint8 xz, int8[4, 6] w, float[2, 3] wscale, int8 wz, float yscale, uint8 yz>
{ y = com.microsoft.QGemm(x, xscale, xz, w, wscale, wz, "", yscale, yz) }
x[a=3! b=4!] w[c=4! d=6!] wscale[e=2! f=3!]
-> y[g=3! h=6!]
frozen a b c d e f g h: com.microsoft::QGemm 'QGemm:y': operand 4: scales of rank 2

match com.microsoft::GatherBlockQuantized: whole blocks
(int64[2, 3] i) => (float[2, 3, 48] y) <uint4[9, 48] w, float[9, 3] scale>
{ y = com.microsoft.GatherBlockQuantized<block_size = 16>(w, i, scale) }
i[a=2 b=3] w[c=9! (d=3 e=16!)] scale[c d]
-> y[a b (d e)]
group scale:1 mlp 3: scale:1 w:1
frozen c e: com.microsoft::GatherBlockQuantized 'GatherBlockQuantized:y': it is looked up by index, or a
    block of it shares a scale

match com.microsoft::GatherBlockQuantized: two elements and two zero points a byte
(int64[2, 3] i) => (float[2, 3, 64] y) <uint8[9, 32] w, float[9, 4] scale, uint8[9, 2] zero>
{ y = com.microsoft.GatherBlockQuantized<block_size = 16, bits = 4>(w, i, scale, zero) }
i[a=2 b=3] w[c=9! (d=2 e=2! f=8!)] scale[c (d e)] zero[c d]
-> y[a b (d e f g=2!)]
group scale:1_1 mlp 2: scale:1 w:1 zero:1
frozen c e f g: com.microsoft::GatherBlockQuantized 'GatherBlockQuantized:y': it is looked up by index, or a
    block of it shares a scale

refuse com.microsoft::GatherBlockQuantized: a half-full byte of zero points
(int64[2, 3] i) => (float[2, 3, 48] y) <uint8[9, 24] w, float[9, 3] scale, uint8[9, 2] zero>
{ y = com.microsoft.GatherBlockQuantized<block_size = 16, bits = 4>(w, i, scale, zero) }
i[a=2 b=3] w[c=9! (d=3! e=8!)] scale[c d] zero[c f=2!]
-> y[a b (d e g=2!)]
frozen c d e f g: com.microsoft::GatherBlockQuantized 'GatherBlockQuantized:y': it is looked up by index, or
    a block of it shares a scale

refuse com.microsoft::GatherBlockQuantized: the last block is not full
(int64[2, 3] i) => (float[2, 3, 40] y) <uint4[9, 40] w, float[9, 3] scale>
{ y = com.microsoft.GatherBlockQuantized<block_size = 16>(w, i, scale) }
i[a=2! b=3!] w[c=9! d=40!] scale[e=9! f=3!]
-> y[g=2! h=3! i=40!]
frozen a b c d e f g h i: com.microsoft::GatherBlockQuantized 'GatherBlockQuantized:y': the scales do not
    fit whole blocks of 16 along dimension 1

match com.microsoft::QAttention: heads, and channels of the input
(uint8[2, 5, 6] x) => (float[2, 5, 8] y)
<int8[6, 24] w, float[24] bias, float xscale, float[24] wscale, uint8 xz, int8[24] wz>
{ y = com.microsoft.QAttention<num_heads = 2>(x, w, bias, xscale, wscale, "", xz, wz) }
x[a=2 b=5! c=6] w[c ((d=2 e=4) + (d e) + (d e))] bias[((d e) + (d e) + (d e))] wscale[((d e) + (d e) + (d
    e))] wz[((d e) + (d e) + (d e))]
-> y[a b (d e)]
group w:0 mlp 6: w:0
group bias:0 heads 2: w:1 bias:0 wscale:0 wz:0
group bias:0_1 head_dim 4: w:1 bias:0 wscale:0 wz:0
frozen b: com.microsoft::QAttention 'QAttention:y': it counts positions of a sequence

refuse com.microsoft::QAttention: cached keys and values
(uint8[2, 5, 6] x, float[2, 2, 2, 3, 4] past) => (float[2, 5, 8] y)
<int8[6, 24] w, float[24] bias, float xscale, float wscale, uint8 xz, int8 wz>
{ y = com.microsoft.QAttention<num_heads = 2>(x, w, bias, xscale, wscale, "", xz, wz, past) }
x[a=2! b=5! c=6!] past[d=2! e=2! f=2! g=3! h=4!] w[i=6! j=24!] bias[k=24!]
-> y[l=2! m=5! n=8!]
frozen a b c d e f g h i j k l m n: com.microsoft::QAttention 'QAttention:y': cached keys and values are
    packed in one tensor

match com.microsoft::DynamicQuantizeLSTM: a scale for every column
(float[5, 2, 3] x) => (float[5, 1, 2, 2] y, float[1, 2, 2] h)
<int8[1, 3, 8] w, int8[1, 2, 8] r, float[1, 8] ws, float[1, 8] rs,
int8[1, 8] wz = {0, 0, 0, 0, 0, 0, 0, 0}, int8[1, 8] rz = {0, 0, 0, 0, 0, 0, 0, 0}>
{ y, h = com.microsoft.DynamicQuantizeLSTM<hidden_size = 2>(x, w, r, "", "", "", "", "", ws, wz, rs, rz) }
x[a=5! b=2 c=3] wz[1 (d=4! e=2)] rz[1 (d e)] w[1 c (d e)] r[1 e (d e)] ws[1 (d e)] rs[1 (d e)]
-> y[a 1 b e] h[1 b e]
group w:1 hidden 3: w:1 (inexact)
group r:1 recurrent 2: r:1 r:2 w:2 rs:1 rz:1 ws:1 wz:1
frozen a d: com.microsoft::DynamicQuantizeLSTM 'DynamicQuantizeLSTM:y': it counts steps, directions or gates
    of a recurrent cell

match com.microsoft::QLinearConv: channels last
(uint8[2, 5, 5, 4] x) => (uint8[2, 3, 3, 6] y)
<int8[6, 4, 3, 3] w, float xs, uint8 xz, float[6] ws, int8[6] wz, float ys, uint8 yz, int32[6] b>
{ y = com.microsoft.QLinearConv<channels_last = 1>(x, xs, xz, w, ws, wz, ys, yz, b) }
x[a=2 b=5! c=5! d=4] w[e=6 d f=3! g=3!] ws[e] wz[e] b[e]
-> y[a h=3! i=3! e]
group w:1 channels 4: w:1
group w:0 channels 6: w:0 b:0 ws:0 wz:0
frozen b c f g h i: com.microsoft::QLinearConv 'QLinearConv:y': the window of a convolution slides over it

refuse com.microsoft::QLinearConv: scales of two dimensions [not run: malformed]
(uint8[2, 5, 5, 4] x) => (uint8[2, 3, 3, 6] y)
<int8[6, 4, 3, 3] w, float xs, uint8 xz, float[2, 3] ws, int8[6] wz, float ys, uint8 yz>
{ y = com.microsoft.QLinearConv<channels_last = 1>(x, xs, xz, w, ws, wz, ys, yz) }
x[a=2! b=5! c=5! d=4!] w[e=6! f=4! g=3! h=3!] ws[i=2! j=3!] wz[k=6!]
-> y[l=2! m=3! n=3! o=6!]
frozen a b c d e f g h i j k l m n o: com.microsoft::QLinearConv 'QLinearConv:y': operand 4: scales of rank
    2

match com.microsoft::MatMulNBits: whole blocks of four bits
(float[2, 32] x) => (float[2, 6] y) <uint8[6, 2, 8] w, float[12] scale>
{ y = com.microsoft.MatMulNBits<K = 32, N = 6, bits = 4, block_size = 16>(x, w, scale) }
x[a=2 (b=2 c=16!)] w[d=6 b e=8!] scale[(d b)]
-> y[a d]
group w:0 mlp 6: w:0 scale:0
group scale:0 mlp 2: w:1 scale:0
frozen c e: com.microsoft::MatMulNBits 'MatMulNBits:y': a block of weights shares a scale

match com.microsoft::MatMulNBits: packed zero points
(float[2, 64] x) => (float[2, 6] y) <uint8[6, 4, 8] w, float[24] scale, uint8[12] zero>
{ y = com.microsoft.MatMulNBits<K = 64, N = 6, bits = 4, block_size = 16>(x, w, scale, zero) }
x[a=2 (b=2 c=2! d=16!)] w[e=6 (b c) f=8!] scale[(e b c)] zero[(e b)]
-> y[a e]
group scale:0 mlp 2: w:1 scale:0 zero:0
group w:0 mlp 6: w:0 scale:0 zero:0
frozen c d f: com.microsoft::MatMulNBits 'MatMulNBits:y': a block of weights shares a scale

match com.microsoft::MatMulNBits: a half-full byte of zero points
(float[2, 48] x) => (float[2, 6] y) <uint8[6, 3, 8] w, float[18] scale, uint8[12] zero>
{ y = com.microsoft.MatMulNBits<K = 48, N = 6, bits = 4, block_size = 16>(x, w, scale, zero) }
x[a=2 (b=3! c=16!)] w[d=6 b e=8!] scale[(d b)] zero[(d f=2!)]
-> y[a d]
group w:0 mlp 6: w:0 scale:0 zero:0
frozen b c e f: com.microsoft::MatMulNBits 'MatMulNBits:y': a block of weights shares a scale

refuse com.microsoft::MatMulNBits: the last block is not full
(float[2, 24] x) => (float[2, 6] y) <uint8[6, 2, 8] w, float[12] scale>
{ y = com.microsoft.MatMulNBits<K = 24, N = 6, bits = 4, block_size = 16>(x, w, scale) }
x[a=2! b=24!] w[c=6! d=2! e=8!] scale[f=12!]
-> y[g=2! h=6!]
frozen a b c d e f g h: com.microsoft::MatMulNBits 'MatMulNBits:y': the last block of 16 is not full (K=24)

match com.microsoft::MatMulIntegerToFloat: a scale for every column
(uint8[3, 4] x) => (float[3, 6] y) <uint8[4, 6] w, float xscale, float[6] wscale, uint8 xz, uint8[6] wz, float[6] b>
{ y = com.microsoft.MatMulIntegerToFloat(x, w, xscale, wscale, xz, wz, b) }
x[a=3 b=4] w[b c=6] wscale[c] wz[c] b[c]
-> y[a c]
group w:0 mlp 4: w:0
group b:0 mlp 6: w:1 b:0 wscale:0 wz:0

match com.microsoft::DynamicQuantizeMatMul: a scale for every column
(float[3, 4] x) => (float[3, 6] y) <int8[4, 6] w, float[6] wscale, int8[6] wz, float[6] b>
{ y = com.microsoft.DynamicQuantizeMatMul(x, w, wscale, wz, b) }
x[a=3 b=4] w[b c=6] wscale[c] wz[c] b[c]
-> y[a c]
group w:0 hidden 4: w:0 (inexact)
group b:0 mlp 6: w:1 b:0 wscale:0 wz:0

match com.microsoft::DynamicQuantizeLSTM: scales of both directions
(float[T, N, 4] x, float[2, N, 5] h0, float[2, N, 5] c0) => (float[T, 2, N, 5] y, float[2, N, 5] h, float[2, N, 5] c)
<uint8[2, 4, 20] w, uint8[2, 5, 20] r, float[2, 40] b, float[2] ws, uint8[2] wz, float[2] rs, uint8[2] rz>
{
    y, h, c = com.microsoft.DynamicQuantizeLSTM<hidden_size = 5, direction = "bidirectional">
        (x, w, r, b, "", h0, c0, "", ws, wz, rs, rz)
}
x[a=T b=N c=4] h0[d=2! b e=5] c0[d b e] w[d c (f=4! e)] r[d e (f e)] b[d (g=8! e)] ws[d] wz[d] rs[d] rz[d]
-> y[a d b e] h[d b e] c[d b e]
group r:1 recurrent 5: r:1 r:2 w:2 b:1
group w:1 hidden 4: w:1 (inexact)
frozen a d f g: com.microsoft::DynamicQuantizeLSTM 'DynamicQuantizeLSTM:y': it counts steps, directions or
    gates of a recurrent cell

refuse com.microsoft::DynamicQuantizeLSTM: scales without a direction [not run: malformed]
(float[T, N, 4] x) => (float[T, 1, N, 5] y)
<int8[1, 4, 20] w, int8[1, 5, 20] r, float ws, int8 wz, float rs, int8 rz>
{ y = com.microsoft.DynamicQuantizeLSTM<hidden_size = 5>(x, w, r, "", "", "", "", "", ws, wz, rs, rz) }
x[a=T b=N c=4!] w[1 d=4! e=20!] r[1 f=5! g=20!]
-> y[h=T 1 i=N j=5!]
frozen a b c d e f g h i j: com.microsoft::DynamicQuantizeLSTM 'DynamicQuantizeLSTM:y': operand 8: scales of
    rank 0

match com.microsoft::QLinearSoftmax: over the last axis
(uint8[2, 3, 4] x) => (uint8[2, 3, 4] y) <float xscale, uint8 xz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearSoftmax<axis = -1, opset = 13>(x, xscale, xz, yscale, yz) }
x[a=2 b=3 c=4!]
-> y[a b c]
frozen c: com.microsoft::QLinearSoftmax 'QLinearSoftmax:y': a softmax is taken over it

match com.microsoft::QLinearSoftmax: over all axes from one on, before opset 13
(uint8[2, 3, 4] x) => (uint8[2, 3, 4] y) <float xscale, uint8 xz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearSoftmax<axis = 1, opset = 12>(x, xscale, xz, yscale, yz) }
x[a=2 b=3! c=4!]
-> y[a b c]
frozen b c: com.microsoft::QLinearSoftmax 'QLinearSoftmax:y': a softmax is taken over it

match com.microsoft::QLinearAdd: a number for every channel
(uint8[2, 3, 4] x) => (uint8[2, 3, 4] y)
<float xscale, uint8 xz, uint8[4] c, float cscale, uint8 cz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearAdd(x, xscale, xz, c, cscale, cz, yscale, yz) }
x[a=2 b=3 c=4] c[c]
-> y[a b c]
group c:0 mlp 4: c:0

match com.microsoft::QLinearMul: a gate that broadcasts
(uint8[2, 4, 5] x, uint8[2, 4, 1] g) => (uint8[2, 4, 5] y)
<float xscale, uint8 xz, float gscale, uint8 gz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearMul(x, xscale, xz, g, gscale, gz, yscale, yz) }
x[a=2 b=4 c=5] g[a b 1]
-> y[a b c]

match com.microsoft::QLinearSigmoid: one scale
(uint8[2, 4] x) => (uint8[2, 4] y) <float xscale, uint8 xz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearSigmoid(x, xscale, xz, yscale, yz) }
x[a=2 b=4]
-> y[a b]

match com.microsoft::QLinearLeakyRelu: one scale
(uint8[2, 4] x) => (uint8[2, 4] y) <float xscale, uint8 xz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearLeakyRelu<alpha = 0.1>(x, xscale, xz, yscale, yz) }
x[a=2 b=4]
-> y[a b]

match com.microsoft::QLinearGlobalAveragePool: channels first
(uint8[2, 4, 3, 3] x) => (uint8[2, 4, 1, 1] y) <float xscale, uint8 xz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearGlobalAveragePool(x, xscale, xz, yscale, yz) }
x[a=2 b=4 c=3 d=3]
-> y[a b 1 1]

match com.microsoft::QLinearGlobalAveragePool: channels last
(uint8[2, 3, 3, 4] x) => (uint8[2, 1, 1, 4] y) <float xscale, uint8 xz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearGlobalAveragePool<channels_last = 1>(x, xscale, xz, yscale, yz) }
x[a=2 b=3 c=3 d=4]
-> y[a 1 1 d]

match com.microsoft::QLinearAveragePool: a window
(uint8[2, 4, 4, 4] x) => (uint8[2, 4, 3, 3] y) <float xscale, uint8 xz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearAveragePool<kernel_shape = [2, 2]>(x, xscale, xz, yscale, yz) }
x[a=2 b=4 c=4! d=4!]
-> y[a b e=3! f=3!]
frozen c d e f: com.microsoft::QLinearAveragePool 'QLinearAveragePool:y': the window of a pooling slides
    over it

match com.microsoft::QLinearAveragePool: channels last
(uint8[2, 4, 4, 4] x) => (uint8[2, 3, 3, 4] y) <float xscale, uint8 xz, float yscale, uint8 yz>
{ y = com.microsoft.QLinearAveragePool<kernel_shape = [2, 2], channels_last = 1>(x, xscale, xz, yscale, yz) }
x[a=2 b=4! c=4! d=4]
-> y[a e=3! f=3! d]
frozen b c e f: com.microsoft::QLinearAveragePool 'QLinearAveragePool:y': the window of a pooling slides
    over it

match com.microsoft::QLinearConcat: two parts
(uint8[2, 4, 3] x, uint8[2, 5, 3] z) => (uint8[2, 9, 3] y)
<float yscale, uint8 yz, float xscale, uint8 xz, float zscale, uint8 zz>
{ y = com.microsoft.QLinearConcat<axis = 1>(yscale, yz, x, xscale, xz, z, zscale, zz) }
x[a=2 b=4 c=3] z[a d=5 c]
-> y[a (b + d) c]

match com.microsoft::QuantizeLinear: a scale for every channel
(float[2, 4, 3] x) => (uint8[2, 4, 3] y) <float[4] scale, uint8[4] zero>
{ y = com.microsoft.QuantizeLinear<axis = 1>(x, scale, zero) }
x[a=2 b=4 c=3] scale[b] zero[b]
-> y[a b c]
group scale:0 mlp 4: scale:0 zero:0

refuse com.microsoft::QuantizeLinear: the last block is not full
(float[2, 3] x) => (uint8[2, 3] y) <float[2, 2] scale, uint8[2, 2] zero>
{ y = com.microsoft.QuantizeLinear<axis = 1, block_size = 2>(x, scale, zero) }
x[a=2! b=3!] scale[c=2! d=2!] zero[e=2! f=2!]
-> y[g=2! h=3!]
frozen a b c d e f g h: com.microsoft::QuantizeLinear 'QuantizeLinear:y': the scales do not fit whole blocks
    of 2 along dimension 1

match com.microsoft::DequantizeLinear: a scale for every channel
(uint8[2, 4, 3] x) => (float[2, 4, 3] y) <float[4] scale, uint8[4] zero>
{ y = com.microsoft.DequantizeLinear<axis = 1>(x, scale, zero) }
x[a=2 b=4 c=3] scale[b] zero[b]
-> y[a b c]
group scale:0 mlp 4: scale:0 zero:0

refuse com.microsoft::DequantizeLinear: the last block is not full
(uint8[2, 3] x) => (float[2, 3] y) <float[2, 2] scale, uint8[2, 2] zero>
{ y = com.microsoft.DequantizeLinear<axis = 1, block_size = 2>(x, scale, zero) }
x[a=2! b=3!] scale[c=2! d=2!] zero[e=2! f=2!]
-> y[g=2! h=3!]
frozen a b c d e f g h: com.microsoft::DequantizeLinear 'DequantizeLinear:y': the scales do not fit whole
    blocks of 2 along dimension 1

"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_axes(case: Case) -> None:
    check_case(case)
