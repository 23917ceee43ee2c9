"""Golden cases of com.microsoft: ONNX Runtime's fused operators."""

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match com.microsoft::Attention: one weight for queries, keys and values
(float[2, 3, 4] x) => (float[2, 3, 6] y) <float[4, 18] w, float[18] b>
{ y = com.microsoft.Attention<num_heads = 3>(x, w, b) }
x[a=2 b=3! c=4] w[c ((d=3 e=2) + (d e) + (d e))] b[((d e) + (d e) + (d e))]
-> y[a b (d e)]
group w:0 mlp 4: w:0
group b:0 heads 3: w:1 b:0
group b:0_1 head_dim 2: w:1 b:0
frozen b: com.microsoft::Attention 'Attention:y': it counts positions of a sequence

match com.microsoft::Attention: values of another size
(float[2, 3, 4] x) => (float[2, 3, 4] y) <float[4, 16] w, float[16] b>
{ y = com.microsoft.Attention<num_heads = 2, qkv_hidden_sizes = [6, 6, 4]>(x, w, b) }
x[a=2 b=3! c=4] w[c ((d=2 e=3) + (d e) + (d f=2))] b[((d e) + (d e) + (d f))]
-> y[a b (d f)]
group w:0 mlp 4: w:0
group b:0 heads 2: w:1 b:0
group b:0_1 head_dim 3: w:1 b:0
group b:0_2 head_dim 2: w:1 b:0
frozen b: com.microsoft::Attention 'Attention:y': it counts positions of a sequence

refuse com.microsoft::Attention: packed cache
(float[2, 3, 4] x, float[2, 2, 3, 5, 2] past) => (float[2, 3, 6] y, float[2, 2, 3, 8, 2] present)
<float[4, 18] w, float[18] b>
{ y, present = com.microsoft.Attention<num_heads = 3>(x, w, b, "", past) }
x[a=2! b=3! c=4!] past[d=2! e=2! f=3! g=5! h=2!] w[i=4! j=18!] b[k=18!]
-> y[l=2! m=3! n=6!] present[o=2! p=2! q=3! r=8! s=2!]
frozen a b c d e f g h i j k l m n o p q r s: com.microsoft::Attention 'Attention:y': cached keys and values
    are packed in one tensor

match com.microsoft::MultiHeadAttention: heads within the last dimension
(float[2, 3, 6] q, float[2, 5, 6] k, float[2, 5, 4] v) => (float[2, 3, 4] y)
{ y = com.microsoft.MultiHeadAttention<num_heads = 2>(q, k, v) }
q[a=2 b=3! (c=2 d=3)] k[a e=5! (c d)] v[a e (c f=2)]
-> y[a b (c f)]
frozen b e: com.microsoft::MultiHeadAttention 'MultiHeadAttention:y': it counts positions of a sequence

match com.microsoft::MultiHeadAttention: a bias of all three
(float[2, 3, 6] q, float[2, 5, 6] k, float[2, 5, 6] v) => (float[2, 3, 6] y) <float[18] b>
{ y = com.microsoft.MultiHeadAttention<num_heads = 2>(q, k, v, b) }
q[a=2 b=3! (c=2 d=3)] k[a e=5! (c d)] v[a e (c f=3)] b[((c d) + (c d) + (c f))]
-> y[a b (c f)]
group b:0 heads 2: b:0
group b:0_1 head_dim 3: b:0
group b:0_2 head_dim 3: b:0
frozen b e: com.microsoft::MultiHeadAttention 'MultiHeadAttention:y': it counts positions of a sequence

refuse com.microsoft::MultiHeadAttention: packed keys and values
(float[2, 3, 6] q, float[2, 5, 2, 2, 3] kv) => (float[2, 3, 6] y)
{ y = com.microsoft.MultiHeadAttention<num_heads = 2>(q, kv) }
q[a=2! b=3! c=6!] kv[d=2! e=5! f=2! g=2! h=3!]
-> y[i=2! j=3! k=6!]
frozen a b c d e f g h i j k: com.microsoft::MultiHeadAttention 'MultiHeadAttention:y': queries, keys and
    values are packed

match com.microsoft::GroupQueryAttention: two query heads for each
(float[N, 3, 64] q, float[N, 3, 32] k, float[N, 3, 32] v)
=> (float[N, 3, 64] y, float[N, 2, 3, 16] kk, float[N, 2, 3, 16] vv) <int32[2, 1] ends = {2, 2}, int32 total = {3}>
{ y, kk, vv = com.microsoft.GroupQueryAttention<num_heads = 4, kv_num_heads = 2>(q, k, v, "", "", ends, total) }
q[a=N b=3! (c=2 d=2 e=2 f=8!)] k[a g=3! (c e f)] v[a g (c e f)] ends[h=2! 1]
-> y[a b (c d e f)] kk[a c i=3! (e f)] vv[a c i (e f)]
frozen b f g i: com.microsoft::GroupQueryAttention 'GroupQueryAttention:y': it counts positions of a
    sequence
frozen h: com.microsoft::GroupQueryAttention 'GroupQueryAttention:y': operand 5 counts positions, it holds
    no channels

match com.microsoft::GroupQueryAttention: rotated pairs
(float[N, 3, 128] q, float[N, 3, 64] k, float[N, 3, 64] v)
=> (float[N, 3, 128] y, float[N, 2, 3, 32] kk, float[N, 2, 3, 32] vv)
<int32[2, 1] ends = {2, 2}, int32 total = {3}, float[8, 16] cos, float[8, 16] sin>
{ y, kk, vv = com.microsoft.GroupQueryAttention<num_heads = 4, kv_num_heads = 2, do_rotary = 1>
(q, k, v, "", "", ends, total, cos, sin) }
q[a=N b=3! (c=2 d=2 e=2! f=2 g=8!)] k[a h=3! (c e f g)] v[a h (c e f g)] ends[i=2! 1] cos[j=8! (f g)] sin[j
    (f g)]
-> y[a b (c d e f g)] kk[a c k=3! (e f g)] vv[a c k (e f g)]
group cos:1 head_dim 2: cos:1 sin:1
frozen b e g h j k: com.microsoft::GroupQueryAttention 'GroupQueryAttention:y': it counts positions of a
    sequence
frozen i: com.microsoft::GroupQueryAttention 'GroupQueryAttention:y': operand 5 counts positions, it holds
    no channels

refuse com.microsoft::GroupQueryAttention: packed
(float[2, 3, 32] qkv, int32[2, 1] ends, int32 total)
=> (float[2, 3, 16] y, float[2, 2, 3, 4] kk, float[2, 2, 3, 4] vv)
{ y, kk, vv = com.microsoft.GroupQueryAttention<num_heads = 4, kv_num_heads = 2>(qkv, "", "", "", "", ends, total) }
qkv[a=2! b=3! c=32!] ends[d=2! 1] total[]
-> y[e=2! f=3! g=16!] kk[h=2! i=2! j=3! k=4!] vv[l=2! m=2! n=3! o=4!]
frozen a b c d e f g h i j k l m n o: com.microsoft::GroupQueryAttention 'GroupQueryAttention:y': queries,
    keys and values are packed

match com.microsoft::RotaryEmbedding: halves of a head
(float[N, 3, 4, 8] x, int64[N, 4] at) => (float[N, 3, 4, 8] y) <float[8, 4] cos, float[8, 4] sin>
{ y = com.microsoft.RotaryEmbedding(x, at, cos, sin) }
x[a=N b=3 c=4! (d=2! e=4)] at[f=N g=4!] cos[h=8! e] sin[h e]
-> y[a b c (d e)]
group cos:1 head_dim 4: cos:1 sin:1
frozen c d h: com.microsoft::RotaryEmbedding 'RotaryEmbedding:y': a rotation pairs it
frozen f g: com.microsoft::RotaryEmbedding 'RotaryEmbedding:y': operand 1 counts positions, it holds no
    channels

match com.microsoft::RotaryEmbedding: neighbors within the last dimension
(float[N, 3, 24] x, int64[N, 3] at) => (float[N, 3, 24] y) <float[8, 4] cos, float[8, 4] sin>
{ y = com.microsoft.RotaryEmbedding<interleaved = 1, num_heads = 3>(x, at, cos, sin) }
x[a=N b=3! (c=3 d=4 e=2!)] at[f=N g=3!] cos[h=8! d] sin[h d]
-> y[a b (c d e)]
group cos:1 head_dim 4: cos:1 sin:1
frozen b e h: com.microsoft::RotaryEmbedding 'RotaryEmbedding:y': a rotation pairs it
frozen f g: com.microsoft::RotaryEmbedding 'RotaryEmbedding:y': operand 1 counts positions, it holds no
    channels

refuse com.microsoft::RotaryEmbedding: tables of another size [not run: malformed]
(float[2, 3, 4, 8] x, int64[2, 4] at) => (float[2, 3, 4, 8] y) <float[8, 3] cos, float[8, 3] sin>
{ y = com.microsoft.RotaryEmbedding(x, at, cos, sin) }
x[a=2 b=3 c=4! d=8!] at[e=2! f=4!] cos[g=8! h=3!] sin[g h]
-> y[a b c (i=2! h)]
frozen c g i: com.microsoft::RotaryEmbedding 'RotaryEmbedding:y': a rotation pairs it
frozen d h i: com.microsoft::RotaryEmbedding 'RotaryEmbedding:y': sizes 6 and 8 do not agree
frozen e f: com.microsoft::RotaryEmbedding 'RotaryEmbedding:y': operand 1 counts positions, it holds no
    channels

match com.microsoft::SkipLayerNormalization: with a bias and the sum
(float[2, 3, 4] x, float[2, 3, 4] s) => (float[2, 3, 4] y, float[2, 3, 4] sum)
<float[4] scale, float[4] beta, float[4] bias>
{ y, "", "", sum = com.microsoft.SkipLayerNormalization(x, s, scale, beta, bias) }
x[a=2 b=3 c=4] s[a b c] scale[c] beta[c] bias[c]
-> y[a b c] sum[a b c]
group beta:0 hidden 4: beta:0 bias:0 scale:0 (inexact)

match com.microsoft::SkipSimplifiedLayerNormalization: the root of the mean square
(float[2, 3, 4] x, float[2, 3, 4] s) => (float[2, 3, 4] y, float[2, 3, 4] sum) <float[4] scale>
{ y, "", "", sum = com.microsoft.SkipSimplifiedLayerNormalization(x, s, scale) }
x[a=2 b=3 c=4] s[a b c] scale[c]
-> y[a b c] sum[a b c]
group scale:0 hidden 4: scale:0 (inexact)

match com.microsoft::EmbedLayerNormalization: words, positions and segments
(int32[N, 3] at, int32[N, 3] segment) => (float[N, 3, 4] y, int32[N] ends)
<float[32, 4] word, float[5, 4] position, float[32, 4] kind, float[4] scale, float[4] beta>
{ y, ends = com.microsoft.EmbedLayerNormalization(at, segment, word, position, kind, scale, beta) }
at[a=N b=3!] segment[a b] word[c=32! d=4] position[e=5! d] kind[f=32! d] scale[d] beta[d]
-> y[a b d] ends[g=N]
group beta:0 hidden 4: kind:1 position:1 word:1 beta:0 scale:0 (inexact)
frozen b c e f: com.microsoft::EmbedLayerNormalization 'EmbedLayerNormalization:y': it is looked up by index
frozen g: com.microsoft::EmbedLayerNormalization 'EmbedLayerNormalization:y': its result holds no channels

refuse com.microsoft::EmbedLayerNormalization: a table of rank one [not run: malformed]
(int32[2, 3] at) => (float[2, 3, 4] y, int32[2] ends)
<float[7] word, float[5, 4] position, float[4] scale, float[4] beta>
{ y, ends = com.microsoft.EmbedLayerNormalization(at, "", word, position, "", scale, beta) }
at[a=2! b=3!] word[c=7!] position[d=5! e=4!] scale[f=4!] beta[g=4!]
-> y[h=2! i=3! j=4!] ends[k=2!]
frozen a b c d e f g h i j k: com.microsoft::EmbedLayerNormalization 'EmbedLayerNormalization:y': operand
    has rank 1, its signature says 2

match com.microsoft::BiasGelu: a bias for every channel
(float[2, 3, 4] x) => (float[2, 3, 4] y) <float[4] b> { y = com.microsoft.BiasGelu(x, b) }
x[a=2 b=3 c=4] b[c]
-> y[a b c]
group b:0 mlp 4: b:0

match com.microsoft::FastGelu: a bias for every channel
(float[2, 3, 4] x) => (float[2, 3, 4] y) <float[4] b> { y = com.microsoft.FastGelu(x, b) }
x[a=2 b=3 c=4] b[c]
-> y[a b c]
group b:0 mlp 4: b:0

match com.microsoft::Gelu: any shape
(float[2, 3, 4] x) => (float[2, 3, 4] y) { y = com.microsoft.Gelu(x) }
x[a=2 b=3 c=4]
-> y[a b c]

match com.microsoft::QuickGelu: any shape
(float[2, 3, 4] x) => (float[2, 3, 4] y) { y = com.microsoft.QuickGelu(x) }
x[a=2 b=3 c=4]
-> y[a b c]

match com.microsoft::BiasAdd: a skip connection [not run: no kernel]
(float[2, 3, 4] x, float[2, 3, 4] s) => (float[2, 3, 4] y) <float[4] b> { y = com.microsoft.BiasAdd(x, b, s) }
x[a=2 b=3 c=4] s[a b c] b[c]
-> y[a b c]
group b:0 mlp 4: b:0

match com.microsoft::FusedConv: an activation and a fourth operand
(float[2, 4, 8, 8] x, float[2, 6, 6, 6] z) => (float[2, 6, 6, 6] y) <float[6, 4, 3, 3] w, float[6] b>
{ y = com.microsoft.FusedConv<activation = "Relu">(x, w, b, z) }
x[a=2 b=4 c=8! d=8!] z[a e=6 f=6! g=6!] w[e b h=3! i=3!] b[e]
-> y[a e f g]
group w:0 channels 6: w:0 b:0
group w:1 channels 4: w:1
frozen c d f g h i: com.microsoft::FusedConv 'FusedConv:y': the window of a convolution slides over it

refuse com.microsoft::FusedConv: groups that do not divide the filters [not run: malformed]
(float[2, 4, 8, 8] x) => (float[2, 5, 6, 6] y) <float[5, 2, 3, 3] w>
{ y = com.microsoft.FusedConv<group = 2, activation = "Relu">(x, w) }
x[a=2! (b=2! c=2!) d=8! e=8!] w[f=5! g=2! h=3! i=3!]
-> y[j=2! k=5! l=6! m=6!]
frozen a b c d e f g h i j k l m: com.microsoft::FusedConv 'FusedConv:y': size 5 is not a multiple of 2

match com.microsoft::FusedMatMul: the second factor transposed
(float[2, 3, 4] x) => (float[2, 3, 6] y) <float[6, 4] w> { y = com.microsoft.FusedMatMul<transB = 1>(x, w) }
x[a=2 b=3 c=4] w[d=6 c]
-> y[a b d]
group w:0 mlp 6: w:0
group w:1 mlp 4: w:1

match com.microsoft::FusedMatMul: the first factor transposed
(float[2, 4, 3] x) => (float[2, 3, 6] y) <float[4, 6] w>
{ y = com.microsoft.FusedMatMul<transA = 1, alpha = 0.5>(x, w) }
x[a=2 b=4 c=3] w[b d=6]
-> y[a c d]
group w:0 mlp 4: w:0
group w:1 mlp 6: w:1

refuse com.microsoft::FusedMatMul: batch axes transposed
(float[3, 2, 4] x, float[2, 4, 6] z) => (float[2, 3, 6] y)
{ y = com.microsoft.FusedMatMul<transBatchA = 1>(x, z) }
x[a=3! b=2! c=4!] z[d=2! e=4! f=6!]
-> y[g=2! h=3! i=6!]
frozen a b c d e f g h i: com.microsoft::FusedMatMul 'FusedMatMul:y': batch axes are transposed

match com.microsoft::FusedGemm: an activation
(float[3, 4] x) => (float[3, 6] y) <float[6, 4] w, float[6] b>
{ y = com.microsoft.FusedGemm<transB = 1, activation = "Relu">(x, w, b) }
x[a=3 b=4] w[c=6 b] b[c]
-> y[a c]
group w:1 mlp 4: w:1
group w:0 mlp 6: w:0 b:0

refuse com.microsoft::FusedGemm: a bias of three dimensions [not run: malformed]
(float[3, 4] x) => (float[3, 6] y) <float[4, 6] w, float[1, 1, 6] b>
{ y = com.microsoft.FusedGemm<activation = "Relu">(x, w, b) }
x[a=3! b=4!] w[c=4! d=6!] b[1 1 e=6!]
-> y[f=3! g=6!]
frozen a b c d e f g: com.microsoft::FusedGemm 'FusedGemm:y': its attributes or operands make no sense
    (ValueError: zip() argument 2 is longer than argument 1)
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_axes(case: Case) -> None:
    check_case(case)
