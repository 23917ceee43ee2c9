"""What the rewriter makes of a removal: attributes, shape operands, indices and private copies that follow."""

import pytest

from irprune.verification.driver import verify_models
from tests.golden.helpers.models import model_of
from tests.golden.helpers.removal import feeds_for
from tests.golden.helpers.rewriting import Rewriting, changes, parse_rewritings

CASES = parse_rewritings(
    """
Conv: grouped convolution loses a group
(float[N, 3, 8] x) => (float[] y) <float[4, 3, 1] w, float[6, 2, 1] u, float[5, 6, 1] v>
{ h = Conv(x, w) g = Conv<group = 2>(h, u) y = Conv(g, v) }
remove u:0/0 1
u float32[3, 2, 1]
v float32[5, 3, 1]
w float32[2, 3, 1]
h[N 2 8] = Conv(x, w)
g[N 3 8] = Conv(h, u) {"group": 1}

Conv: grouped convolution loses inner channels
(float[N, 3, 8] x) => (float[] y) <float[4, 3, 1] w, float[6, 2, 1] u, float[5, 6, 1] v>
{ h = Conv(x, w) g = Conv<group = 2>(h, u) y = Conv(g, v) }
remove u:1 0
remove u:0/1 0 2
u float32[2, 1, 1]
v float32[5, 2, 1]
w float32[2, 3, 1]
h[N 2 8] = Conv(x, w)
g[N 2 8] = Conv(h, u) {"group": 2}

Conv: depthwise convolution loses channels
(float[N, 3, 8] x) => (float[] y) <float[4, 3, 1] w, float[4, 1, 3] u, float[5, 4, 1] v>
{ h = Conv(x, w) g = Conv<group = 4>(h, u) y = Conv(g, v) }
remove w:0 0 3
u float32[2, 1, 3]
v float32[5, 2, 1]
w float32[2, 3, 1]
h[N 2 8] = Conv(x, w)
g[N 2 6] = Conv(h, u) {"group": 2}

Split: sizes as attribute [opset 11]
(float[N, 3] x) => (float[] y, float[] z) <float[3, 6] w, float[2, 5] u, float[4, 5] v>
{ h = MatMul(x, w) a, b = Split<axis = 1, split = [2, 4]>(h) y = MatMul(a, u) z = MatMul(b, v) }
remove u:0 0
remove v:0 1 2
u float32[1, 5]
v float32[2, 5]
w float32[3, 3]
h[N 3] = MatMul(x, w)
a[N 1], b[N 2] = Split(h) {"axis": 1, "split": [1, 2]}

Split: sizes as operand [opset 13]
(float[N, 3] x) => (float[] y, float[] z) <float[3, 6] w, int64[2] s = {2, 4}, float[2, 5] u, float[4, 5] v>
{ h = MatMul(x, w) a, b = Split<axis = 1>(h, s) y = MatMul(a, u) z = MatMul(b, v) }
remove v:0 0
s_1 = [2, 3]
v float32[3, 5]
w float32[3, 5]
h[N 5] = MatMul(x, w)
a[N 2], b[N 3] = Split(h, s_1) {"axis": 1}

Split: number of outputs becomes sizes [opset 18]
(float[N, 3] x) => (float[] y, float[] z) <float[3, 7] w, float[4, 5] u, float[3, 5] v>
{ h = MatMul(x, w) a, b = Split<axis = 1, num_outputs = 2>(h) y = MatMul(a, u) z = MatMul(b, v) }
remove u:0 1 3
a_sizes = [2, 3]
u float32[2, 5]
w float32[3, 5]
h[N 5] = MatMul(x, w)
a[N 2], b[N 3] = Split(h, a_sizes) {"axis": 1}

Split: equal parts by default become sizes [opset 13]
(float[N, 3] x) => (float[] y, float[] z) <float[3, 6] w, float[3, 5] u, float[3, 5] v>
{ h = MatMul(x, w) a, b = Split<axis = 1>(h) y = MatMul(a, u) z = MatMul(b, v) }
remove v:0 2
a_sizes = [3, 2]
v float32[2, 5]
w float32[3, 5]
h[N 5] = MatMul(x, w)
a[N 3], b[N 2] = Split(h, a_sizes) {"axis": 1}

Slice: bounds as attributes [opset 9]
(float[N, 3] x) => (float[] y) <float[3, 6] w, float[3, 5] u>
{ h = MatMul(x, w) a = Slice<axes = [1], starts = [1], ends = [4]>(h) y = MatMul(a, u) }
remove u:0 0
u float32[2, 5]
w float32[3, 5]
h[N 5] = MatMul(x, w)
a[N 2] = Slice(h) {"axes": [1], "ends": [3], "starts": [1]}

Slice: bounds as operands move with what stands before
(float[N, 3] x) => (float[] y)
<float[3, 6] w, float[2, 5] u, int64[1] starts = {3}, int64[1] ends = {5}, int64[1] axes = {1}>
{ h = MatMul(x, w) a = Slice(h, starts, ends, axes) y = MatMul(a, u) }
remove w:1/0 0 2
ends_1 = [3]
starts_1 = [1]
w float32[3, 4]
h[N 4] = MatMul(x, w)
a[N 2] = Slice(h, starts_1, ends_1, axes)

Slice: negative bounds are counted from the end
(float[N, 3] x) => (float[] y)
<float[3, 6] w, float[2, 5] u, int64[1] starts = {-3}, int64[1] ends = {-1}, int64[1] axes = {1}>
{ h = MatMul(x, w) a = Slice(h, starts, ends, axes) y = MatMul(a, u) }
remove u:0 1
remove w:1/0 0
starts_1 = [-2]
u float32[1, 5]
w float32[3, 4]
h[N 4] = MatMul(x, w)
a[N 1] = Slice(h, starts_1, ends, axes)

Slice: open end stays open
(float[N, 3] x) => (float[] y)
<float[3, 6] w, float[2, 5] u, int64[1] starts = {4}, int64[1] ends = {9223372036854775807}, int64[1] axes = {1}>
{ h = MatMul(x, w) a = Slice(h, starts, ends, axes) y = MatMul(a, u) }
remove u:0 1
remove w:1/0 0
starts_1 = [3]
u float32[1, 5]
w float32[3, 4]
h[N 4] = MatMul(x, w)
a[N 1] = Slice(h, starts_1, ends, axes)

Gather: indices are renumbered
(float[N, 3] x) => (float[] y) <float[3, 4] w, int64[5] i = {3, 0, 0, 2, -1}, float[5, 6] u>
{ h = MatMul(x, w) g = Gather<axis = 1>(h, i) y = MatMul(g, u) }
remove w:1 0
i_1 = [2, 1, 2]
u float32[3, 6]
w float32[3, 3]
h[N 3] = MatMul(x, w)
g[N 3] = Gather(h, i_1) {"axis": 1}

GatherND: one index of tuples of one
(float[3, N] x) => (float[] y) <float[4, 3] w, int64[1, 1] i = {2}>
{ h = MatMul(w, x) y = GatherND(h, i) }
remove w:0/0 1
i_1 = [[1]]
w float32[3, 3]
h[3 N] = MatMul(w, x)
y[1 N] = GatherND(h, i_1)

GatherND: tuples of one are renumbered
(float[3, N] x) => (float[] y) <float[4, 3] w, int64[3, 1] i = {3, 0, 2}, float[5, 3] u>
{ h = MatMul(w, x) g = GatherND(h, i) y = MatMul(u, g) }
remove u:1 2
i_1 = [[2], [0]]
u float32[5, 2]
w float32[3, 3]
h[3 N] = MatMul(w, x)
g[2 N] = GatherND(h, i_1)

Gather: the result factors elsewhere
(float[N, 3, 2] x) => (float[] y) <float[2, 3, 1] w, int64[4] i = {0, 0, 1, 1}, float[4, 2, 1] u, float[5, 4, 1] v>
{ h = Conv(x, w) g = Gather<axis = 1>(h, i) c = Conv<group = 2>(g, u) y = Conv(c, v) }
remove w:0 0
i_1 = [0, 0]
u float32[2, 2, 1]
v float32[5, 2, 1]
w float32[1, 3, 1]
h[N 1 2] = Conv(x, w)
g[N 2 2] = Gather(h, i_1) {"axis": 1}
c[N 2 2] = Conv(g, u) {"group": 1}

Gather: a strided view follows by its indices
(float[N, 3] x) => (float[] y)
<float[3, 12] w, int64 zero = {0}, int64 one = {1}, int64[1] flat = {-1}, int64 c = {12}, int64[2] last = {0, 1},
int64[2, 3, 1] k = {1, 5, 9, 2, 6, 10}, int64[1] front = {0}, float[2, 3, 4] u, int64[3] three = {0, 3, 4}>
{ g = MatMul(x, w) h = Reshape(g, three) f = Reshape(h, flat) s = Shape<start = 0, end = 1>(x) n = Squeeze(s)
r = Range(zero, n, one) b = Mul(r, c) o = Unsqueeze(b, last) i = Add(o, k) v = Gather(f, i)
t = Transpose<perm = [0, 2, 1]>(v) y = Einsum<equation = "anb,abk->nk">(t, u) }
remove w:1/0 1
remove w:1/1 0
i_1_1_new = 6
i_1_1_old = 12
i_1_1_rank = [0, 0, 1, 2, 2, 2, 2, 2, 3, 3, 4, 5]
i_1_kept = [0, 2]
i_kept = [1]
three_1 = [0, 2, 3]
u float32[1, 2, 4]
w float32[3, 6]
g[N 6] = MatMul(x, w)
h[N 2 3] = Reshape(g, three_1)
f[6*N] = Reshape(h, flat)
i_1[1 3 unk__2] = Gather(i, i_kept) {"axis": 0}
i_1_1[1 2 unk__2] = Gather(i_1, i_1_kept) {"axis": 1}
i_1_1_1[1 2 unk__2] = Div(i_1_1, i_1_1_old)
i_1_1_2[1 2 unk__2] = Mod(i_1_1, i_1_1_old)
i_1_1_3[1 2 unk__2] = Gather(i_1_1_rank, i_1_1_2) {"axis": 0}
i_1_1_4[1 2 unk__2] = Mul(i_1_1_1, i_1_1_new)
i_1_1_5[1 2 unk__2] = Add(i_1_1_4, i_1_1_3)
v[1 2 unk__2] = Gather(f, i_1_1_5)
t[1 unk__2 2] = Transpose(v) {"perm": [0, 2, 1]}

Gather: indices of two dimensions
(float[N, 6] x) => (float[] y) <float[6, 6] w, int64[2, 3] i = {5, 4, 3, 2, 1, 0}, float[3, 5] u>
{ h = MatMul(x, w) g = Gather<axis = 1>(h, i) y = MatMul(g, u) }
remove u:0 1
i_1 = [[3, 2], [1, 0]]
u float32[2, 5]
w float32[6, 4]
h[N 4] = MatMul(x, w)
g[N 2 2] = Gather(h, i_1) {"axis": 1}

Gather: one index moves
(float[N, 3, 2] x) => (float[] y) <float[4, 3, 1] w, int64 i = {2}> { h = Conv(x, w) y = Gather<axis = 1>(h, i) }
remove w:0/0 0
i_1 = 1
w float32[3, 3, 1]
h[N 3 2] = Conv(x, w)
y[N 2] = Gather(h, i_1) {"axis": 1}

Gather: one negative index is counted from the end
(float[N, 3, 2] x) => (float[] y) <float[4, 3, 1] w, int64[1] i = {-3}>
{ h = Conv(x, w) y = Gather<axis = 1>(h, i) }
remove w:0/0 1
i_1 = [-2]
w float32[3, 3, 1]
h[N 3 2] = Conv(x, w)
y[N 1 2] = Gather(h, i_1) {"axis": 1}

Pad: pads shrink with their consumers [opset 13]
(float[N, 3] x) => (float[] y) <float[3, 4] w, int64[4] pads = {0, 2, 0, 1}, float[7, 5] u>
{ h = MatMul(x, w) p = Pad(h, pads) y = MatMul(p, u) }
remove u:0/0 0
remove w:1 1
pads_1 = [0, 1, 0, 1]
u float32[5, 5]
w float32[3, 3]
h[N 3] = MatMul(x, w)
p[N 5] = Pad(h, pads_1)

Reshape: sizes follow and minus one stays
(float[N, 3] x) => (float[] y) <float[3, 12] w, int64[3] s = {0, 3, 4}, int64[2] t = {0, -1}, float[12, 5] u>
{ h = MatMul(x, w) r = Reshape(h, s) e = Relu(r) f = Reshape(e, t) y = MatMul(f, u) }
remove w:1/0 1
s_1 = [0, 2, 4]
u float32[8, 5]
w float32[3, 8]
h[N 8] = MatMul(x, w)
r[N 2 4] = Reshape(h, s_1)
e[N 2 4] = Relu(r)
f[N 8] = Reshape(e, t)

Reshape: sizes follow for the inner factor
(float[N, 3] x) => (float[] y) <float[3, 12] w, int64[3] s = {0, 3, 4}, int64[2] t = {0, 12}, float[12, 5] u>
{ h = MatMul(x, w) r = Reshape(h, s) e = Relu(r) f = Reshape(e, t) y = MatMul(f, u) }
remove w:1/1 0 2
s_1 = [0, 3, 2]
t_1 = [0, 6]
u float32[6, 5]
w float32[3, 6]
h[N 6] = MatMul(x, w)
r[N 3 2] = Reshape(h, s_1)
e[N 3 2] = Relu(r)
f[N 6] = Reshape(e, t_1)

Reshape: a shape with a run-time batch keeps being computed
(float[N, 3, 2, 2] x) => (float[] y)
<float[4, 3, 1, 1] w, int64 zero = {0}, int64[1] at = {0}, int64[1] rest = {16}, float[16, 5] u>
{ h = Conv(x, w) s = Shape(h) n = Gather(s, zero) m = Unsqueeze(n, at) t = Concat<axis = 0>(m, rest)
f = Reshape(h, t) y = MatMul(f, u) }
remove w:0 1 2
rest_1 = [8]
u float32[8, 5]
w float32[2, 3, 1, 1]
h[N 2 2 2] = Conv(x, w)
t_1[2] = Concat(m, rest_1) {"axis": 0}
f[N 8] = Reshape(h, t_1)

Reshape: a run-time multiple of the channels is rescaled [io]
(float[N, 3, 2, 2] x) => (float[] y)
<float[4, 3, 1, 1] w, int64 zero = {0}, int64 four = {4}, int64[1] at = {0}, int64[1] rest = {4}, float[1, 4] u>
{ h = Conv(x, w) s = Shape(h) n = Gather(s, zero) k = Mul(n, four) m = Unsqueeze(k, at)
t = Concat<axis = 0>(m, rest) f = Reshape(h, t) y = Mul(f, u) }
remove w:0 1 2
m_new = [2]
m_old = [4]
w float32[2, 3, 1, 1]
h[N 2 2 2] = Conv(x, w)
m_1[1] = Div(m, m_old)
m_2[1] = Mul(m_1, m_new)
t_1[2] = Concat(m_2, rest) {"axis": 0}
f[2*N 4] = Reshape(h, t_1)
y[2*N 4] = Mul(f, u)

Reshape: a run-time size that is not one of its own
(float[N, 3] x, float[N, 4] z) => (float[] y, float[N, 2, 2] v)
<float[3, 4] w, float[4, 5] u, int64[1] one = {1}, int64[1] first = {0}, int64[1] half = {2}, int64[1] two = {2}>
{ h = MatMul(x, w) y = MatMul(h, u) s = Shape(h) n = Gather(s, first) c = Gather(s, one) d = Div(c, half)
t = Concat<axis = 0>(n, d, two) v = Reshape(z, t) }
remove u:0 0
d_1 = [2]
u float32[3, 5]
w float32[3, 3]
h[N 3] = MatMul(x, w)
t_1[3] = Concat(n, d_1, two) {"axis": 0}
v[N 2 2] = Reshape(z, t_1)

Cast: a size that is used as a number stays what it was
(float[N, 3] x) => (float[] y) <float[3, 4] w, float[4, 5] u, int64 one = {1}>
{ h = MatMul(x, w) s = Shape(h) d = Gather(s, one) f = Cast<to = 1>(d) r = Sqrt(f) g = Div(h, r) y = MatMul(g, u) }
remove u:0 0
d_1 = 4
u float32[3, 5]
w float32[3, 3]
h[N 3] = MatMul(x, w)
f[] = Cast(d_1) {"to": 1}
g[N 3] = Div(h, r)

Squeeze: axes are spelled out before one more could go [io]
(float[2, 3, 4, 1] x) => (float[] y) <float[5, 3, 1, 1] w> { h = Conv(x, w) y = Squeeze(h) }
remove w:0 0 1 2 3
w float32[1, 3, 1, 1]
y_sizes = [3]
h[2 1 4 1] = Conv(x, w)
y[2 1 4] = Squeeze(h, y_sizes)

Squeeze: axes are spelled out as attribute [opset 11] [io]
(float[2, 3, 4, 1] x) => (float[] y) <float[5, 3, 1, 1] w> { h = Conv(x, w) y = Squeeze(h) }
remove w:0 0 1 2 3
w float32[1, 3, 1, 1]
h[2 1 4 1] = Conv(x, w)
y[2 1 4] = Squeeze(h) {"axes": [3]}

Expand: the shape follows
(float[N, 3] x) => (float[] y) <float[3, 4] w, float[4] b, int64[2] s = {1, 4}, float[4, 5] u>
{ h = MatMul(x, w) r = Relu(b) e = Expand(r, s) a = Add(h, e) y = MatMul(a, u) }
remove u:0 2
b float32[3]
s_1 = [1, 3]
u float32[3, 5]
w float32[3, 3]
h[N 3] = MatMul(x, w)
r[3] = Relu(b)
e[1 3] = Expand(r, s_1)
a[N 3] = Add(h, e)

Expand: equal elements serve every use
(float[N, 3] x) => (float[] y, float[] z) <float[3, 4] w, float[3, 4] v, float c = {0.5}, int64[2] s = {1, 4},
float[4, 5] u, float[4, 5] t>
{ e = Expand(c, s) f = Neg(e) g = MatMul(x, w) h = MatMul(x, v) a = Add(g, f) b = Add(h, f) y = MatMul(a, u)
z = MatMul(b, t) }
remove u:0 0
remove t:0 1 3
f_kept = [0, 1]
s_1 = [1, 3]
t float32[2, 5]
u float32[3, 5]
v float32[3, 2]
w float32[3, 3]
e[1 3] = Expand(c, s_1)
f[1 3] = Neg(e)
g[N 3] = MatMul(x, w)
h[N 2] = MatMul(x, v)
a[N 3] = Add(g, f)
f_1[1 2] = Gather(f, f_kept) {"axis": 1}
b[N 2] = Add(h, f_1)

ConstantOfShape: every use loses as much
(float[N, 3] x) => (float[] y, float[] z) <float[3, 4] w, float[3, 4] v, int64[2] s = {1, 4}, float[4, 5] u,
float[4, 5] t>
{ e = ConstantOfShape(s) g = MatMul(x, w) h = MatMul(x, v) a = Add(g, e) b = Add(h, e) y = MatMul(a, u)
z = MatMul(b, t) }
remove u:0 0
remove t:0 1
s_1 = [1, 3]
t float32[3, 5]
u float32[3, 5]
v float32[3, 3]
w float32[3, 3]
e[1 3] = ConstantOfShape(s_1)
g[N 3] = MatMul(x, w)
h[N 3] = MatMul(x, v)
a[N 3] = Add(g, e)
b[N 3] = Add(h, e)

Add: equal elements beside weights serve every use
(float[N, 2] x) => (float[] y, float[] z) <float[2, 4] e = {1, 1, 1, 1, 1, 1, 1, 1}, float[2, 4] p, float[4, 5] u,
float[4, 5] t>
{ a = Add(e, p) b = MatMul(a, u) c = MatMul(e, t) y = MatMul(x, b) z = MatMul(x, c) }
remove u:0 0
remove t:0 1 3
e float32[2, 2]
e_1 float32[2, 3]
p float32[2, 3]
t float32[2, 5]
u float32[3, 5]
a[2 3] = Add(e_1, p)

Add: a weight beside weights is one tensor
(float[N, 2] x) => (float[] y, float[] z) <float[2, 4] e = {1, 1, 1, 1, 1, 1, 1, 2}, float[2, 4] p, float[4, 5] u,
float[4, 5] t>
{ a = Add(e, p) b = MatMul(a, u) c = MatMul(e, t) y = MatMul(x, b) z = MatMul(x, c) }
remove u:0 0
e float32[2, 3]
p float32[2, 3]
t float32[3, 5]
u float32[3, 5]
a[2 3] = Add(e, p)

Tile: repeats are a factor
(float[N, 3] x) => (float[] y) <float[3, 2] w, int64[2] r = {1, 3}, float[6, 5] u>
{ h = MatMul(x, w) t = Tile(h, r) y = MatMul(t, u) }
remove u:0/0 1
remove u:0/1 0
r_1 = [1, 2]
u float32[2, 5]
w float32[3, 1]
h[N 1] = MatMul(x, w)
t[unk__1 2] = Tile(h, r_1)

ConstantOfShape: the shape follows
(float[N, 3] x) => (float[] y) <float[3, 4] w, int64[2] s = {1, 4}, float[4, 5] u>
{ h = MatMul(x, w) c = ConstantOfShape<value = float[1] {1.0}>(s) a = Add(h, c) y = MatMul(a, u) }
remove u:0 0 1
s_1 = [1, 2]
u float32[2, 5]
w float32[3, 2]
h[N 2] = MatMul(x, w)
c[1 2] = ConstantOfShape(s_1) {"value": [1.0]}
a[N 2] = Add(h, c)

Resize: spelled out sizes follow
(float[2, 3, 4, 4] x) => (float[] y) <float[4, 3, 1, 1] w, int64[4] s = {2, 4, 8, 8}, float[5, 4, 1, 1] u>
{ h = Conv(x, w) r = Resize<mode = "nearest">(h, "", "", s) y = Conv(r, u) }
remove w:0 1
s_1 = [2, 3, 8, 8]
u float32[5, 3, 1, 1]
w float32[3, 3, 1, 1]
h[2 3 4 4] = Conv(x, w)
r[2 3 8 8] = Resize(h, "", "", s_1) {"mode": "nearest"}

GroupNormalization: groups follow [opset 21]
(float[N, 3, 4] x) => (float[N, 5, 4] y) <float[6, 3, 1] w, float[6] g, float[6] b, float[5, 6, 1] u>
{ h = Conv(x, w) n = GroupNormalization<num_groups = 3>(h, g, b) y = Conv(n, u) }
remove w:0/0 1
remove w:0/1 0
b float32[2]
g float32[2]
u float32[5, 2, 1]
w float32[2, 3, 1]
h[N 2 4] = Conv(x, w)
n[] = GroupNormalization(h, g, b) {"num_groups": 2}

DepthToSpace: whole channels go
(float[N, 3, 4, 4] x) => (float[] y) <float[12, 3, 1, 1] w, float[5, 3, 1, 1] u>
{ h = Conv(x, w) d = DepthToSpace<blocksize = 2, mode = "CRD">(h) y = Conv(d, u) }
remove u:1 1
u float32[5, 2, 1, 1]
w float32[8, 3, 1, 1]
h[N 8 4 4] = Conv(x, w)
d[N 2 8 8] = DepthToSpace(h) {"blocksize": 2, "mode": "CRD"}

LSTM: the hidden size follows
(float[T, N, 3] x) => (float[] y) <float[1, 16, 3] w, float[1, 16, 4] r, float[1, 32] b, float[4, 5] u>
{ h = LSTM<hidden_size = 4>(x, w, r, b) y = MatMul(h, u) }
remove r:2 2
b float32[1, 24]
r float32[1, 12, 3]
u float32[3, 5]
w float32[1, 12, 3]
h[T 1 N 3] = LSTM(x, w, r, b) {"hidden_size": 3}

Attention: heads and scale follow [opset 23]
(float[N, S, 3] x) => (float[] y) <float[3, 16] q, float[3, 8] k, float[3, 8] v, float[16, 5] o>
{ a = MatMul(x, q) b = MatMul(x, k) c = MatMul(x, v) d = Attention<q_num_heads = 4, kv_num_heads = 2>(a, b, c)
y = MatMul(d, o) }
remove k:1/0 1
remove k:1/1 0
k float32[3, 3]
o float32[8, 5]
q float32[3, 6]
v float32[3, 4]
a[N S 6] = MatMul(x, q)
b[N S 3] = MatMul(x, k)
c[N S 4] = MatMul(x, v)
d[N S 8] = Attention(a, b, c) {"kv_num_heads": 1, "q_num_heads": 2, "scale": 0.5}

Add: a shared vector becomes two
(float[N, 3] x) => (float[] y, float[] z) <float[3, 4] w, float[3, 4] k, float[4] b, float[4, 5] u, float[4, 5] v>
{ g = MatMul(x, w) h = MatMul(x, k) m = Add(g, b) n = Add(h, b) y = MatMul(m, u) z = MatMul(n, v) }
remove u:0 0
b_1 float32[3]
u float32[3, 5]
w float32[3, 3]
g[N 3] = MatMul(x, w)
m[N 3] = Add(g, b_1)

Identity: a shared vector becomes two behind copies of it
(float[N, 3] x) => (float[] y, float[] z) <float[3, 4] w, float[3, 4] k, float[4] b, float[4, 5] u, float[4, 5] v>
{ c = Identity(b) g = MatMul(x, w) h = MatMul(x, k) m = Add(g, c) n = Add(h, b) y = MatMul(m, u) z = MatMul(n, v) }
remove u:0 0
b_1 float32[3]
u float32[3, 5]
w float32[3, 3]
c[3] = Identity(b_1)
g[N 3] = MatMul(x, w)
m[N 3] = Add(g, c)

Identity: a weight stays tied behind a copy of it
(float[N, 3] x, float[M, 3] z) => (float[] y, float[] v) <float[3, 4] w, float[4, 5] u>
{ c = Identity(w) g = MatMul(x, w) h = MatMul(z, c) y = MatMul(g, u) v = MatMul(h, u) }
remove u:0 3
u float32[3, 5]
w float32[3, 3]
c[3 3] = Identity(w)
g[N 3] = MatMul(x, w)
h[M 3] = MatMul(z, c)

Add: a shared vector stays one where its uses agree
(float[N, 3] x) => (float[] y, float[] z) <float[3, 4] w, float[3, 4] k, float[4] b, float[4, 5] u, float[4, 5] v>
{ g = MatMul(x, w) h = MatMul(x, k) m = Add(g, b) n = Add(h, b) y = MatMul(m, u) z = MatMul(n, v) }
remove u:0 0
remove v:0 0
b float32[3]
k float32[3, 3]
u float32[3, 5]
v float32[3, 5]
w float32[3, 3]
g[N 3] = MatMul(x, w)
h[N 3] = MatMul(x, k)
m[N 3] = Add(g, b)
n[N 3] = Add(h, b)

MatMul: a weight used twice stays tied
(float[N, 3] x, float[M, 3] z) => (float[] y, float[] v) <float[3, 4] w, float[4, 5] u>
{ g = MatMul(x, w) h = MatMul(z, w) y = MatMul(g, u) v = MatMul(h, u) }
remove u:0 3
u float32[3, 5]
w float32[3, 3]
g[N 3] = MatMul(x, w)
h[M 3] = MatMul(z, w)

Reshape: a channel shuffle stays one, and the layer behind it reads the channels in another order
(float[N, 3, 2, 2] x) => (float[] y)
<float[8, 3, 1, 1] w, int64[5] s = {0, 2, 4, 2, 2}, int64[4] t = {0, -1, 2, 2}, float[5, 8, 1, 1] u>
{ h = Conv(x, w) r = Reshape(h, s) p = Transpose<perm = [0, 2, 1, 3, 4]>(r) f = Reshape(p, t) y = Conv(f, u) }
remove w:0 0 1
s_1 = [0, 2, 3, 2, 2]
u float32[5, 6, 1, 1]
w float32[6, 3, 1, 1]
h[N 6 2 2] = Conv(x, w)
r[N 2 3 2 2] = Reshape(h, s_1)
p[N 3 2 2 2] = Transpose(r) {"perm": [0, 2, 1, 3, 4]}
f[N 6 2 2] = Reshape(p, t)

Reshape: a channel shuffle whose halves keep an odd number is left out, as any order will do
(float[N, 3, 2, 2] x) => (float[] y)
<float[4, 3, 1, 1] w, int64[5] s = {0, 2, 2, 2, 2}, int64[4] t = {0, -1, 2, 2}, float[5, 4, 1, 1] u>
{ h = Conv(x, w) r = Reshape(h, s) p = Transpose<perm = [0, 2, 1, 3, 4]>(r) f = Reshape(p, t) y = Conv(f, u) }
remove w:0 1
u float32[5, 3, 1, 1]
w float32[3, 3, 1, 1]
h[N 3 2 2] = Conv(x, w)
f[N 3 2 2] = Identity(h)

Reshape: a channel shuffle whose halves keep different numbers becomes runs of its operand
(float[N, 3, 2, 2] x) => (float[] y, float[] z)
<float[4, 3, 1, 1] v, float[4, 3, 1, 1] w, int64[5] s = {0, 2, 4, 2, 2}, int64[4] t = {0, -1, 2, 2},
int64[2] k = {4, 4}, float[5, 4, 1, 1] p, float[5, 4, 1, 1] q>
{ a = Conv(x, v) b = Conv(x, w) h = Concat<axis = 1>(a, b) r = Reshape(h, s)
m = Transpose<perm = [0, 2, 1, 3, 4]>(r) f = Reshape(m, t) c, d = Split<axis = 1>(f, k)
y = Conv(c, p) z = Conv(d, q) }
remove v:0 0
remove w:0 3
f_part_1_axes = [1]
f_part_1_ends = [5]
f_part_1_starts = [3]
f_part_2_axes = [1]
f_part_2_ends = [3]
f_part_2_starts = [1]
f_part_3_axes = [1]
f_part_3_ends = [6]
f_part_3_starts = [5]
f_part_axes = [1]
f_part_ends = [1]
f_part_starts = [0]
k_1 = [3, 3]
p float32[5, 3, 1, 1]
q float32[5, 3, 1, 1]
v float32[3, 3, 1, 1]
w float32[3, 3, 1, 1]
a[N 3 2 2] = Conv(x, v)
b[N 3 2 2] = Conv(x, w)
h[N 6 2 2] = Concat(a, b) {"axis": 1}
f_part[N 1 2 2] = Slice(h, f_part_starts, f_part_ends, f_part_axes)
f_part_1[N 2 2 2] = Slice(h, f_part_1_starts, f_part_1_ends, f_part_1_axes)
f_part_2[N 2 2 2] = Slice(h, f_part_2_starts, f_part_2_ends, f_part_2_axes)
f_part_3[N 1 2 2] = Slice(h, f_part_3_starts, f_part_3_ends, f_part_3_axes)
f[N 6 2 2] = Concat(f_part, f_part_1, f_part_2, f_part_3) {"axis": 1}
c[N 3 2 2], d[N 3 2 2] = Split(f, k_1) {"axis": 1}
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_smaller_graph(case: Rewriting) -> None:
    removal = case.removal()
    found = changes(removal.analysis.graph, removal.graph)
    assert found == case.expected, f"\n--- expected\n{case.expected}\n--- found\n{found}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_smaller_model_computes_what_removing_means(case: Rewriting) -> None:
    removal = case.removal()
    proto = model_of(case.model, case.opset)
    report = verify_models(proto, removal.pruned, removal.plan, inputs=feeds_for(proto))
    assert report.ok, report.failures()
