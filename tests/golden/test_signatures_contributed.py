"""Golden cases: what recent exporters and optimizers write: fused norms, linear attention, experts, losses."""

from __future__ import annotations

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match com.microsoft::CDist: distances over channels
(float[3, 4] x) => (float[3, 5] y) <float[5, 4] w> { y = com.microsoft.CDist(x, w) }
x[a=3 b=4] w[c=5 b]
-> y[a c]
group w:0 mlp 5: w:0
group w:1 mlp 4: w:1

refuse com.microsoft::CDist: widths that differ [not run: malformed]
(float[3, 4] x) => (float[3, 5] y) <float[5, 3] w> { y = com.microsoft.CDist(x, w) }
x[a=3 b=4!] w[c=5 d=3!]
-> y[a c]
group w:0 mlp 5: w:0
frozen b d: com.microsoft::CDist 'CDist:y': sizes 4 and 3 do not agree

match com.microsoft::ExpandDims: a new dimension
(float[N, 4] x) => (float[N, 1, 4] y) <int32 a = {1}> { y = com.microsoft.ExpandDims(x, a) }
x[a=N b=4]
-> y[a 1 b]

match com.microsoft::GatedAdd: a gate for each row
(float[N, 4] x, float[N, 4] z, float[N, 1] g) => (float[N, 4] y) { y = com.microsoft.GatedAdd(x, z, g) }
x[a=N b=4] z[a b] g[a 1]
-> y[a b]

match com.microsoft::GatedRMSNorm: one norm for each head
(float[N, 3, 12] x, float[N, 3, 12] g) => (float[N, 3, 12] y) <float[4] w>
{ y = com.microsoft.GatedRMSNorm(x, w, g) }
x[a=N b=3 (c=3 d=4)] g[a b (c d)] w[d]
-> y[a b (c d)]
group w:0 hidden 4: w:0 (inexact)

refuse com.microsoft::GatedRMSNorm: a scale that does not fit [not run: malformed]
(float[N, 3, 12] x, float[N, 3, 12] g) => (float[N, 3, 12] y) <float[5] w>
{ y = com.microsoft.GatedRMSNorm(x, w, g) }
x[a=N b=3! c=12!] g[d=N e=3! f=12!] w[g=5!]
-> y[h=N i=3! j=12!]
frozen a b c d e f g h i j: com.microsoft::GatedRMSNorm 'GatedRMSNorm:y': 12 channels are not a multiple of
    5

match com.microsoft::BranchwiseRMSNorm: flat branches
(float[N, 12] x) => (float[N, 12] y) <float[12] w>
{ y = com.microsoft.BranchwiseRMSNorm<num_branches = 3>(x, w) }
x[a=N (b=3 c=4)] w[(b c)]
-> y[a (b c)]
group w:0 mlp 3: w:0
group w:0_1 hidden 4: w:0 (inexact)

match com.microsoft::BranchwiseRMSNorm: a dimension of branches
(float[N, 3, 4] x) => (float[N, 3, 4] y) <float[3, 4] w> { y = com.microsoft.BranchwiseRMSNorm(x, w) }
x[a=N b=3 c=4] w[b c]
-> y[a b c]
group w:0 mlp 3: w:0
group w:1 hidden 4: w:1 (inexact)

refuse com.microsoft::BranchwiseRMSNorm: branches that do not fit [not run: malformed]
(float[N, 12] x) => (float[N, 12] y) <float[12] w>
{ y = com.microsoft.BranchwiseRMSNorm<num_branches = 5>(x, w) }
x[a=N b=12!] w[c=12!]
-> y[d=N e=12!]
frozen a b c d e: com.microsoft::BranchwiseRMSNorm 'BranchwiseRMSNorm:y': 12 channels are not a multiple of
    5 branches

match com.microsoft::LinearAttention: two query heads for each
(float[2, 3, 16] q, float[2, 3, 8] k, float[2, 3, 6] v) => (float[2, 3, 12] y, float[2, 2, 4, 3] n)
{ y, n = com.microsoft.LinearAttention<q_num_heads = 4, kv_num_heads = 2, update_rule = "linear">(q, k, v) }
q[a=2 b=3! (c=2 d=2 e=4)] k[a b (c e)] v[a b (c f=3)]
-> y[a b (c d f)] n[a c e f]
frozen b: com.microsoft::LinearAttention 'LinearAttention:y': it counts positions of a sequence

match com.microsoft::LinearAttention: with gates
(float[2, 3, 8] q, float[2, 3, 8] k, float[2, 3, 6] v, float[2, 2, 4, 3] p, float[2, 3, 2] g, float[2, 3, 2] s)
=> (float[2, 3, 6] y, float[2, 2, 4, 3] n)
{ y, n = com.microsoft.LinearAttention<q_num_heads = 2, kv_num_heads = 2, update_rule = "gated_delta">
(q, k, v, p, g, s) }
q[a=2 b=3! (c=2 d=4)] k[a b (c d)] v[a b (c e=3)] p[a c d e] g[a b c] s[a b c]
-> y[a b (c e)] n[a c d e]
frozen b: com.microsoft::LinearAttention 'LinearAttention:y': it counts positions of a sequence

match LinearAttention: of ai.onnx [opset 27] [not run: no kernel]
(float[2, 3, 8] q, float[2, 3, 8] k, float[2, 3, 6] v) => (float[2, 3, 6] y, float[2, 2, 4, 3] n)
{ y, n = LinearAttention<q_num_heads = 2, kv_num_heads = 2, update_rule = "linear">(q, k, v) }
q[a=2 b=3! (c=2 d=4)] k[a b (c d)] v[a b (c e=3)]
-> y[a b (c e)] n[a c d e]
frozen b: LinearAttention 'LinearAttention:y': it counts positions of a sequence

refuse com.microsoft::LinearAttention: more heads of keys
(float[2, 3, 4] q, float[2, 3, 8] k, float[2, 3, 6] v) => (float[2, 3, 6] y, float[2, 2, 4, 3] n)
{ y, n = com.microsoft.LinearAttention<q_num_heads = 1, kv_num_heads = 2, update_rule = "linear">(q, k, v) }
q[a=2! b=3! c=4!] k[d=2! e=3! f=8!] v[g=2! h=3! i=6!]
-> y[j=2! k=3! l=6!] n[m=2! n=2! o=4! p=3!]
frozen a b c d e f g h i j k l m n o p: com.microsoft::LinearAttention 'LinearAttention:y': 1 heads of
    queries for 2 of keys, or a window of states

match com.microsoft::LinearAttentionGate: one number for each head
(float[2, 3, 4] a, float[2, 3, 4] b) => (float[2, 3, 4] y, float[2, 3, 4] z) <float[4] w, float[4] v>
{ y, z = com.microsoft.LinearAttentionGate(a, w, v, b) }
a[a=2 b=3 c=4] b[a b c] w[c] v[c]
-> y[a b c] z[a b c]
group v:0 mlp 4: v:0 w:0

refuse com.microsoft::LinearAttentionGate: heads that differ [not run: malformed]
(float[2, 3, 4] a) => (float[2, 3, 4] y) <float[5] w, float[5] v> { y = com.microsoft.LinearAttentionGate(a, w, v) }
a[a=2 b=3 c=4!] w[d=5!] v[e=5!]
-> y[a b c]
frozen c d e: com.microsoft::LinearAttentionGate 'LinearAttentionGate:y': sizes 4 and 5 do not agree

match com.microsoft::CausalConvWithState: each channel by itself
(float[N, 4, 6] x) => (float[N, 4, 6] y, float[N, 4, 2] p) <float[4, 1, 3] w, float[4] b>
{ y, p = com.microsoft.CausalConvWithState(x, w, b) }
x[a=N b=4 c=6!] w[b 1 d=3!] b[b]
-> y[a b c] p[a b e=2!]
group w:0 mlp 4: w:0 b:0
frozen c d e: com.microsoft::CausalConvWithState 'CausalConvWithState:y': the window of a convolution slides
    over it

refuse com.microsoft::CausalConvWithState: channels last
(float[N, 6, 4] x) => (float[N, 6, 4] y) <float[4, 1, 3] w>
{ y = com.microsoft.CausalConvWithState<channels_last = 1>(x, w) }
x[a=N b=6! c=4!] w[d=4! 1 e=3!]
-> y[f=N g=6! h=4!]
frozen a b c d e f g h: com.microsoft::CausalConvWithState 'CausalConvWithState:y': it has several spatial
    axes, channels last, or a window of states

match com.microsoft::ConvTransposeWithDynamicPads: groups
(float[1, 4, 5, 5] x) => (float[1, 6, 7, 7] y) <float[4, 3, 3, 3] w, int64[4] p = {0, 0, 0, 0}, float[6] b>
{ y = com.microsoft.ConvTransposeWithDynamicPads<group = 2>(x, w, p, b) }
x[1 (a=2 b=2) c=5! d=5!] w[(a b) e=3 f=3! g=3!] b[(a e)]
-> y[1 (a e) h=7! i=7!]
group w:0 groups 2: w:0 b:0
group w:0_1 channels 2: w:0
group b:0 channels 3: w:1 b:0
frozen c d f g h i: com.microsoft::ConvTransposeWithDynamicPads 'ConvTransposeWithDynamicPads:y': the window
    of a convolution slides over it

refuse com.microsoft::ConvTransposeWithDynamicPads: groups that do not fit [not run: malformed]
(float[1, 4, 5, 5] x) => (float[1, 9, 7, 7] y) <float[4, 3, 3, 3] w, int64[4] p = {0, 0, 0, 0}>
{ y = com.microsoft.ConvTransposeWithDynamicPads<group = 3>(x, w, p) }
x[1 a=4! b=5! c=5!] w[d=4! e=3! f=3! g=3!]
-> y[1 h=9! i=7! j=7!]
frozen a b c d e f g h i j: com.microsoft::ConvTransposeWithDynamicPads 'ConvTransposeWithDynamicPads:y':
    size 4 is not a multiple of 3

match com.microsoft::MRotaryEmbedding: heads within the last dimension
(float[1, 2, 24] x, int64[3, 1, 2] at) => (float[1, 2, 24] y) <float[16, 4] cos, float[16, 4] sin>
{ y = com.microsoft.MRotaryEmbedding<num_heads = 3, mrope_section = [1, 1, 2]>(x, at, cos, sin) }
x[1 a=2! (b=3 c=8!)] at[d=3! 1 e=2!] cos[f=16! g=4!] sin[h=16! i=4!]
-> y[1 a (b c)]
frozen a c: com.microsoft::MRotaryEmbedding 'MRotaryEmbedding:y': a rotation pairs it
frozen d e: com.microsoft::MRotaryEmbedding 'MRotaryEmbedding:y': operand 1 counts positions, it holds no
    channels
frozen f g: com.microsoft::MRotaryEmbedding 'MRotaryEmbedding:y': operand 2 counts positions, it holds no
    channels
frozen h i: com.microsoft::MRotaryEmbedding 'MRotaryEmbedding:y': operand 3 counts positions, it holds no
    channels

refuse com.microsoft::MRotaryEmbedding: an unknown number of heads [not run: malformed]
(float[1, 2, 24] x, int64[3, 1, 2] at) => (float[1, 2, 24] y) <float[16, 4] cos, float[16, 4] sin>
{ y = com.microsoft.MRotaryEmbedding<mrope_section = [1, 1, 2]>(x, at, cos, sin) }
x[1 a=2! b=24!] at[c=3! 1 d=2!] cos[e=16! f=4!] sin[g=16! h=4!]
-> y[1 i=2! j=24!]
frozen a b c d e f g h i j: com.microsoft::MRotaryEmbedding 'MRotaryEmbedding:y': attribute num_heads is
    missing

match com.microsoft::QEmbedLayerNormalization: tables of bytes
(int32[2, 3] i, int32[2, 3] mask) => (float[2, 3, 4] y, int32[2] m)
<uint8[9, 4] w, uint8[5, 4] p, uint8[4] g, uint8[4] b, float ws, float ps, float gs, float bs, uint8 wz, uint8 pz,
uint8 gz, uint8 bz>
{ y, m = com.microsoft.QEmbedLayerNormalization(i, "", w, p, "", g, b, mask, ws, ps, "", gs, bs, wz, pz, "", gz, bz) }
i[a=2 b=3!] mask[c=2! d=3!] w[e=9! f=4] p[g=5! f] g[f] b[f]
-> y[a b f] m[h=2!]
group b:0 hidden 4: p:1 w:1 b:0 g:0 (inexact)
frozen b e g: com.microsoft::QEmbedLayerNormalization 'QEmbedLayerNormalization:y': it is looked up by index
frozen c d: com.microsoft::QEmbedLayerNormalization 'QEmbedLayerNormalization:y': operand 7 counts
    positions, it holds no channels
frozen h: com.microsoft::QEmbedLayerNormalization 'QEmbedLayerNormalization:y': its result holds no channels

refuse com.microsoft::QEmbedLayerNormalization: tables of other widths [not run: malformed]
(int32[2, 3] i) => (float[2, 3, 4] y, int32[2] m)
<uint8[9, 4] w, uint8[5, 3] p, uint8[4] g, uint8[4] b, float ws, float ps, float gs, float bs, uint8 wz, uint8 pz,
uint8 gz, uint8 bz>
{ y, m = com.microsoft.QEmbedLayerNormalization(i, "", w, p, "", g, b, "", ws, ps, "", gs, bs, wz, pz, "", gz, bz) }
i[a=2 b=3!] w[c=9! d=4!] p[e=5! f=3!] g[d] b[d]
-> y[a b d] m[g=2!]
frozen b c e: com.microsoft::QEmbedLayerNormalization 'QEmbedLayerNormalization:y': it is looked up by index
frozen d f: com.microsoft::QEmbedLayerNormalization 'QEmbedLayerNormalization:y': sizes 4 and 3 do not agree
frozen g: com.microsoft::QEmbedLayerNormalization 'QEmbedLayerNormalization:y': its result holds no channels

match com.microsoft::MatMulInteger16: as MatMul [not run: no kernel for this machine]
(int16[3, 4] x) => (int32[3, 6] y) <int16[4, 6] w> { y = com.microsoft.MatMulInteger16(x, w) }
x[a=3 b=4] w[b c=6]
-> y[a c]
group w:0 mlp 4: w:0
group w:1 mlp 6: w:1

match com.microsoft::MatMulBnb4: whole blocks
(float[3, 64] x) => (float[3, 6] y) <uint8[192] w, float[12] scale>
{ y = com.microsoft.MatMulBnb4<K = 64, N = 6, block_size = 32, quant_type = 1>(x, w, scale) }
x[a=3 (b=2 c=32!)] w[(d=6 b e=16!)] scale[(d b)]
-> y[a d]
group scale:0 mlp 2: scale:0 w:0
group scale:0_1 mlp 6: scale:0 w:0
frozen c e: com.microsoft::MatMulBnb4 'MatMulBnb4:y': a block of weights shares a scale

refuse com.microsoft::MatMulBnb4: blocks across columns
(float[3, 48] x) => (float[3, 6] y) <uint8[144] w, float[9] scale>
{ y = com.microsoft.MatMulBnb4<K = 48, N = 6, block_size = 32, quant_type = 1>(x, w, scale) }
x[a=3! b=48!] w[c=144!] scale[d=9!]
-> y[e=3! f=6!]
frozen a b c d e f: com.microsoft::MatMulBnb4 'MatMulBnb4:y': blocks of 32 do not fit columns of 48

match com.microsoft::MoE: channels of all experts
(float[5, 8] x, float[5, 4] r) => (float[5, 8] y) <float[4, 6, 8] w, float[4, 6] b, float[4, 8, 6] v, float[4, 8] c>
{ y = com.microsoft.MoE<k = 2, activation_type = "relu">(x, r, w, b, v, c) }
x[a=5 b=8] r[a c=4] w[c d=6 b] b[c d] v[c b d] c[c b]
-> y[a b]
group v:2 channels 6: v:2 w:1 b:1
group v:0 experts 4: v:0 w:0 b:0 c:0
group v:1 mlp 8: v:1 w:2 c:1

match com.microsoft::MoE: gate and value in turn
(float[5, 8] x, float[5, 4] r) => (float[5, 8] y) <float[4, 12, 8] w, float[4, 8, 6] v>
{ y = com.microsoft.MoE<k = 2, activation_type = "swiglu", swiglu_fusion = 1>(x, r, w, "", v) }
x[a=5 b=8] r[a c=4] w[c (d=6 e=2!) b] v[c b d]
-> y[a b]
group v:0 experts 4: v:0 w:0
group v:1 mlp 8: v:1 w:2
group v:2 channels 6: v:2 w:1
frozen e: com.microsoft::MoE 'MoE:y': gate and value stand side by side

refuse com.microsoft::MoE: another fusion [not run: malformed]
(float[5, 8] x, float[5, 4] r) => (float[5, 8] y) <float[4, 12, 8] w, float[4, 8, 6] v>
{ y = com.microsoft.MoE<k = 2, activation_type = "swiglu", swiglu_fusion = 3>(x, r, w, "", v) }
x[a=5! b=8!] r[c=5! d=4!] w[e=4! f=12! g=8!] v[h=4! i=8! j=6!]
-> y[k=5! l=8!]
frozen a b c d e f g h i j k l: com.microsoft::MoE 'MoE:y': swiglu_fusion=3 is none of 0, 1 and 2

match com.microsoft::QMoE: experts
(float[5, 8] x, float[5, 4] r) => (float[5, 8] y)
<uint8[4, 6, 8] w, float[4, 6] ws, uint8[4, 8, 6] v, float[4, 8] vs>
{ y = com.microsoft.QMoE<k = 2, activation_type = "relu", expert_weight_bits = 8>(x, r, w, ws, "", v, vs) }
x[a=5 b=8!] r[a c=4] w[c d=6! e=8!] ws[c f=6!] v[c g=8! h=6!] vs[c i=8!]
-> y[a b]
group v:0 experts 4: v:0 w:0 vs:0 ws:0
frozen b d e f g h i: com.microsoft::QMoE 'QMoE:y': weights of experts are packed along it

refuse com.microsoft::QMoE: weights of the router [not run: malformed]
(float[5, 8] x, float[5, 4] r, float[5, 4] g) => (float[5, 8] y)
<uint8[4, 6, 8] w, float[4, 6] ws, uint8[4, 8, 6] v, float[4, 8] vs>
{ y = com.microsoft.QMoE<k = 2, expert_weight_bits = 8>
(x, r, w, ws, "", v, vs, "", "", "", "", "", "", "", g) }
x[a=5! b=8!] r[c=5! d=4!] g[e=5! f=4!] w[g=4! h=6! i=8!] ws[j=4! k=6!] v[l=4! m=8! n=6!] vs[o=4! p=8!]
-> y[q=5! r=8!]
frozen a b c d e f g h i j k l m n o p q r: com.microsoft::QMoE 'QMoE:y': router weights or scales of
    activations are operands

match com.microsoft::UnfoldTensor: another axis
(float[N, 4, 6] x) => (float[N, 4, 3, 2] y) { y = com.microsoft.UnfoldTensor<dim = 2, size = 2, step = 2>(x) }
x[a=N b=4 c=6!]
-> y[a b d=3! e=2!]
frozen c d e: com.microsoft::UnfoldTensor 'UnfoldTensor:y': a window slides over it

refuse com.microsoft::UnfoldTensor: its own axis
(float[1, 6] x) => (float[1, 3, 2] y) { y = com.microsoft.UnfoldTensor<dim = 1, size = 2, step = 2>(x) }
x[1 a=6!]
-> y[1 b=3! c=2!]
frozen a b c: com.microsoft::UnfoldTensor 'UnfoldTensor:y': a window slides over it

match com.microsoft::CropAndResize: channels
(float[1, 4, 6, 6] x) => (float[2, 4, 3, 3] y)
<float[2, 4] r = {0.0, 0.0, 1.0, 1.0, 0.2, 0.2, 0.8, 0.8}, int32[2] i = {0, 0}, int32[2] s = {3, 3}>
{ y = com.microsoft.CropAndResize(x, r, i, s) }
x[1 a=4 b=6! c=6!] r[d=2! e=4!] i[d] s[f=2!]
-> y[d a g=3! h=3!]
frozen b c d e g h: com.microsoft::CropAndResize 'CropAndResize:y': it is looked up by index
frozen f: com.microsoft::CropAndResize 'CropAndResize:y': operand 3 counts positions, it holds no channels

refuse com.microsoft::CropAndResize: one channel
(float[1, 1, 6, 6] x) => (float[2, 1, 3, 3] y)
<float[2, 4] r = {0.0, 0.0, 1.0, 1.0, 0.2, 0.2, 0.8, 0.8}, int32[2] i = {0, 0}, int32[2] s = {3, 3}>
{ y = com.microsoft.CropAndResize(x, r, i, s) }
x[1 1 a=6! b=6!] r[c=2! d=4!] i[c] s[e=2!]
-> y[c 1 f=3! g=3!]
frozen a b c d f g: com.microsoft::CropAndResize 'CropAndResize:y': it is looked up by index
frozen e: com.microsoft::CropAndResize 'CropAndResize:y': operand 3 counts positions, it holds no channels

match com.microsoft::RelativePositionBias: heads [not run: no kernel]
(float[32, 4] w) => (float[1, 4, 5, 5] y) <int64[1] q = {5}, int64[1] k = {5}>
{ y = com.microsoft.RelativePositionBias<max_distance = 8, is_bidirectional = 1>(w, q, k) }
w[a=32! b=4]
-> y[1 b c=5! d=5!]
frozen a c d: com.microsoft::RelativePositionBias 'RelativePositionBias:y': it is looked up by index

refuse com.microsoft::RelativePositionBias: one head [not run: no kernel]
(float[32, 1] w) => (float[1, 1, 5, 5] y) <int64[1] q = {5}, int64[1] k = {5}>
{ y = com.microsoft.RelativePositionBias<max_distance = 8, is_bidirectional = 1>(w, q, k) }
w[a=32! 1]
-> y[1 1 b=5! c=5!]
frozen a b c: com.microsoft::RelativePositionBias 'RelativePositionBias:y': it is looked up by index

match NegativeLogLikelihoodLoss: one by one
(float[3, 4, 5] x, int64[3, 5] l) => (float[] y) <float[4] w>
{ y = NegativeLogLikelihoodLoss<reduction = "none">(x, l, w) }
x[a=3 b=4! c=5] l[a c] w[b]
-> y[a c]
frozen b: NegativeLogLikelihoodLoss 'NegativeLogLikelihoodLoss:y': labels count along it

refuse NegativeLogLikelihoodLoss: the mean
(float[3, 4] x, int64[3] l) => (float[] y) { y = NegativeLogLikelihoodLoss(x, l) }
x[a=3! b=4!] l[a]
-> y[]
frozen a b: NegativeLogLikelihoodLoss 'NegativeLogLikelihoodLoss:y': labels count along it

match SoftmaxCrossEntropyLoss: one by one
(float[3, 4, 5] x, int64[3, 5] l) => (float[] y, float[] p)
{ y, p = SoftmaxCrossEntropyLoss<reduction = "none">(x, l) }
x[a=3 b=4! c=5] l[a c]
-> y[a c] p[a b c]
frozen b: SoftmaxCrossEntropyLoss 'SoftmaxCrossEntropyLoss:y': labels count along it

refuse SoftmaxCrossEntropyLoss: the mean
(float[3, 4] x, int64[3] l) => (float[] y) { y = SoftmaxCrossEntropyLoss(x, l) }
x[a=3! b=4!] l[a]
-> y[]
frozen a b: SoftmaxCrossEntropyLoss 'SoftmaxCrossEntropyLoss:y': labels count along it

refuse HannWindow: a table
(int64 n) => (float[] y) { y = HannWindow(n) }
n[]
-> y[?]
refused HannWindow 'HannWindow:y': it makes the table of a transform

refuse SequenceEmpty: elements of unknown axes
(float[3, 4] x) => (float[3, 4] y) <int64 a = {0}>
{ s = SequenceEmpty() t = SequenceInsert(s, x) y = SequenceAt(t, a) }
x[a=3! b=4!]
-> s[?] t[?] y[c=3! d=4!]
frozen a b: SequenceInsert 'SequenceInsert:t': the rank of 's' is unknown
frozen c d: SequenceAt 'SequenceAt:y': the rank of 't' is unknown
refused SequenceEmpty 'SequenceEmpty:s': nothing says which axes the elements will have
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    check_case(case)
