"""Golden cases of recurrent cells, attention and rotations: gates, heads and pairs."""

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match LSTM: one direction with bias
(float[T, N, 4] x) => (float[] y, float[] h, float[] c) <float[1, 20, 4] w, float[1, 20, 5] r, float[1, 40] b>
{ y, h, c = LSTM<hidden_size = 5>(x, w, r, b) }
x[a=T b=N c=4] w[1 (d=4! e=5) c] r[1 (d e) e] b[1 (f=8! e)]
-> y[a 1 b e] h[1 b e] c[1 b e]
group w:2 mlp 4: w:2
group r:1_1 recurrent 5: r:1 r:2 w:1 b:1
frozen a d f: LSTM 'LSTM:y': it counts steps, directions or gates of a recurrent cell

match LSTM: both directions with states and peepholes
(float[T, N, 4] x, float[2, N, 5] h0, float[2, N, 5] c0) => (float[] y)
<float[2, 20, 4] w, float[2, 20, 5] r, float[2, 40] b, float[2, 15] p>
{ y = LSTM<hidden_size = 5, direction = "bidirectional">(x, w, r, b, "", h0, c0, p) }
x[a=T b=N c=4] h0[d=2! b e=5] c0[d b e] w[d (f=4! e) c] r[d (f e) e] b[d (g=8! e)] p[d (h=3! e)]
-> y[a d b e]
group r:1 recurrent 5: r:1 r:2 w:1 b:1 p:1
group w:2 mlp 4: w:2
frozen a d f g h: LSTM 'LSTM:y': it counts steps, directions or gates of a recurrent cell

match LSTM: batch first [not run: no kernel]
(float[N, T, 4] x) => (float[] y, float[] h) <float[1, 20, 4] w, float[1, 20, 5] r>
{ y, h = LSTM<hidden_size = 5, layout = 1>(x, w, r) }
x[a=N b=T c=4] w[1 (d=4! e=5) c] r[1 (d e) e]
-> y[a b 1 e] h[a 1 e]
group w:2 mlp 4: w:2
group r:1_1 recurrent 5: r:1 r:2 w:1
frozen b d: LSTM 'LSTM:y': it counts steps, directions or gates of a recurrent cell

refuse LSTM: a hidden size that the weights do not have [not run: malformed]
(float[T, N, 4] x) => (float[] y) <float[1, 21, 4] w, float[1, 21, 5] r> { y = LSTM<hidden_size = 5>(x, w, r) }
x[a=T b=N c=4!] w[1 d=21! e=4!] r[1 f=21! g=5!]
-> y[h=T 1 i=N j=5!]
frozen a b c d e f g h i j: LSTM 'LSTM:y': size 21 is not a multiple of 4

match GRU: one direction with bias
(float[T, N, 4] x) => (float[] y, float[] h) <float[1, 15, 4] w, float[1, 15, 5] r, float[1, 30] b>
{ y, h = GRU<hidden_size = 5, linear_before_reset = 1>(x, w, r, b) }
x[a=T b=N c=4] w[1 (d=3! e=5) c] r[1 (d e) e] b[1 (f=6! e)]
-> y[a 1 b e] h[1 b e]
group w:2 mlp 4: w:2
group r:1_1 recurrent 5: r:1 r:2 w:1 b:1
frozen a d f: GRU 'GRU:y': it counts steps, directions or gates of a recurrent cell

refuse GRU: a hidden size that the weights do not have [not run: malformed]
(float[T, N, 4] x) => (float[] y) <float[1, 16, 4] w, float[1, 16, 5] r> { y = GRU<hidden_size = 5>(x, w, r) }
x[a=T b=N c=4!] w[1 d=16! e=4!] r[1 f=16! g=5!]
-> y[h=T 1 i=N j=5!]
frozen a b c d e f g h i j: GRU 'GRU:y': size 16 is not a multiple of 3

match RNN: lengths of the sequences
(float[T, N, 4] x, int32[N] lengths) => (float[] y) <float[1, 5, 4] w, float[1, 5, 5] r, float[1, 10] b>
{ y = RNN<hidden_size = 5>(x, w, r, b, lengths) }
x[a=T b=N c=4] lengths[b] w[1 d=5 c] r[1 d d] b[1 (e=2! d)]
-> y[a 1 b d]
group w:2 mlp 4: w:2
group r:1 recurrent 5: r:1 r:2 w:1 b:1
frozen a e: RNN 'RNN:y': it counts steps, directions or gates of a recurrent cell

match Attention: heads of their own dimension [opset 23]
(float[N, 4, S, 8] q, float[N, 2, T, 8] k, float[N, 2, T, 6] v) => (float[] y) { y = Attention(q, k, v) }
q[a=N (b=2 c=2) d=S e=8] k[a b f=T e] v[a b f g=6]
-> y[a (b c) d g]
frozen d f: Attention 'Attention:y': it counts positions of a sequence

match Attention: heads within the last dimension [opset 23]
(float[N, S, 32] q, float[N, T, 16] k, float[N, T, 12] v) => (float[] y)
{ y = Attention<q_num_heads = 4, kv_num_heads = 2>(q, k, v) }
q[a=N b=S (c=2 d=2 e=8)] k[a f=T (c e)] v[a f (c g=6)]
-> y[a b (c d g)]
frozen b f: Attention 'Attention:y': it counts positions of a sequence

match Attention: a mask that broadcasts [opset 23]
(float[N, 3, S, 8] q, float[N, 3, T, 8] k, float[N, 3, T, 8] v, float[1, 1, S, T] m) => (float[] y)
{ y = Attention(q, k, v, m) }
q[a=N b=3 c=S d=8] k[a b e=T d] v[a b e f=8] m[1 1 c e]
-> y[a b c f]
frozen c e: Attention 'Attention:y': it counts positions of a sequence

refuse Attention: query heads are not a multiple [opset 23] [not run: malformed]
(float[N, 3, S, 8] q, float[N, 2, T, 8] k, float[N, 2, T, 8] v) => (float[] y) { y = Attention(q, k, v) }
q[a=N b=3! c=S d=8!] k[e=N f=2! g=T h=8!] v[i=N j=2! k=T l=8!]
-> y[m=N n=3! o=S p=8!]
frozen a b c d e f g h i j k l m n o p: Attention 'Attention:y': query heads 3 is not a multiple of 2 heads

match RotaryEmbedding: halves of a head [opset 23]
(float[N, 3, S, 8] x, float[M, 4] cos, float[M, 4] sin, int64[N, S] at) => (float[] y)
{ y = RotaryEmbedding(x, cos, sin, at) }
x[a=N b=3 c=S (d=2! e=4)] cos[f=M e] sin[f e] at[g=N h=S]
-> y[a b c (d e)]
frozen c d f: RotaryEmbedding 'RotaryEmbedding:y': a rotation pairs it
frozen g h: RotaryEmbedding 'RotaryEmbedding:y': operand 3 counts positions, it holds no channels

match RotaryEmbedding: neighbors within the last dimension [opset 23]
(float[N, S, 24] x, float[M, 4] cos, float[M, 4] sin, int64[N, S] at) => (float[] y)
{ y = RotaryEmbedding<interleaved = 1, num_heads = 3>(x, cos, sin, at) }
x[a=N b=S (c=3 d=4 e=2!)] cos[f=M d] sin[f d] at[g=N h=S]
-> y[a b (c d e)]
frozen b e f: RotaryEmbedding 'RotaryEmbedding:y': a rotation pairs it
frozen g h: RotaryEmbedding 'RotaryEmbedding:y': operand 3 counts positions, it holds no channels

match RotaryEmbedding: a part of a head [opset 23]
(float[N, 3, S, 10] x, float[M, 4] cos, float[M, 4] sin, int64[N, S] at) => (float[] y)
{ y = RotaryEmbedding<rotary_embedding_dim = 8>(x, cos, sin, at) }
x[a=N b=3 c=S ((d=2! e=4) + f=2)] cos[g=M e] sin[g e] at[h=N i=S]
-> y[a b c ((d e) + f)]
frozen c d g: RotaryEmbedding 'RotaryEmbedding:y': a rotation pairs it
frozen h i: RotaryEmbedding 'RotaryEmbedding:y': operand 3 counts positions, it holds no channels

refuse RotaryEmbedding: tables of another size [opset 23] [not run: malformed]
(float[N, 3, S, 8] x, float[M, 3] cos, float[M, 3] sin, int64[N, S] at) => (float[] y)
{ y = RotaryEmbedding(x, cos, sin, at) }
x[a=N b=3 c=S d=8!] cos[e=M f=3!] sin[e f] at[g=N h=S]
-> y[a b c (i=2! f)]
frozen c e i: RotaryEmbedding 'RotaryEmbedding:y': a rotation pairs it
frozen d f i: RotaryEmbedding 'RotaryEmbedding:y': sizes 6 and 8 do not agree
frozen g h: RotaryEmbedding 'RotaryEmbedding:y': operand 3 counts positions, it holds no channels
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_axes(case: Case) -> None:
    check_case(case)
