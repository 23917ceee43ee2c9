"""Golden cases of control flow: axes that go into bodies and come out of them."""

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match If: both branches yield one axis
(float[N, 4] x, bool c) => (float[] y)
{ h = Relu(x)
y = If (c) <then_branch = yes () => (float[N, 4] a) { a = Sigmoid(h) },
else_branch = no () => (float[N, 4] b) { b = Neg(h) }>
}
x[a=N b=4] c[]
-> h[a b] If:y.then_branch/a[a b] If:y.else_branch/b[a b] y[a b]

refuse If: branches of unknown rank
(float[] x, bool c) => (float[] y)
{ h = Relu(x)
y = If (c) <then_branch = yes () => (float[] a) { a = Sigmoid(h) },
else_branch = no () => (float[] b) { b = Neg(h) }>
}
x[?] c[]
-> h[?] If:y.then_branch/a[?] If:y.else_branch/b[?] y[?]
refused Relu 'Relu:h': the shape of operand 0 is unknown
refused Neg 'If:y.else_branch/Neg:b': the shape of operand 0 is unknown
refused Sigmoid 'If:y.then_branch/Sigmoid:a': the shape of operand 0 is unknown
refused If 'If:y': the shape of operand 1 is unknown

match Loop: state keeps its axes
(float[N, 4] x, int64 trips, bool c) => (float[N, 4] y, float[L, N, 4] z) <float[4, 4] w>
{ y, z = Loop (trips, c, x) <body = step (int64 i, bool go, float[N, 4] s) => (bool on, float[N, 4] t, float[N, 4] u)
{ on = Identity(go) u = MatMul(s, w) t = Tanh(u) }>
}
x[a=N b=4] trips[] c[] w[b b]
-> Loop:y.body/i[] Loop:y.body/go[] Loop:y.body/s[a b] Loop:y.body/on[] Loop:y.body/u[a b] Loop:y.body/t[a
    b] y[a b] z[c=L a b]
group w:0 mlp 4: w:0 w:1
frozen c: Loop 'Loop:y': it counts iterations

match Loop: state that starts with equal elements stays one axis
(float[N, 4] x, int64 trips, bool c) => (float[1, 4] y, float[N, 4] z) <float[4, 4] w, int64[2] k = {1, 4}>
{ o = ConstantOfShape(k)
y = Loop (trips, c, o) <body = step (int64 i, bool go, float[1, 4] s) => (bool on, float[1, 4] t)
{ on = Identity(go) u = MatMul(s, w) t = Tanh(u) }>
z = Add(x, o)
}
x[a=N b=4] trips[] c[] w[b b]
-> o[1 b] Loop:y.body/i[] Loop:y.body/go[] Loop:y.body/s[1 b] Loop:y.body/on[] Loop:y.body/u[1 b]
    Loop:y.body/t[1 b] y[1 b] z[a b]
group w:0 mlp 4: w:0 w:1

refuse Loop: iterations are counted
(float[4] x, int64 trips, bool c) => (float[] y, float[] z)
{ y, z = Loop (trips, c, x) <body = step (int64 i, bool go, float[4] s) => (bool on, float[4] t, float[] u)
{ on = Identity(go) t = Relu(s) u = ReduceSum<keepdims = 0>(s) }>
}
x[a=4] trips[] c[]
-> Loop:y.body/i[] Loop:y.body/go[] Loop:y.body/s[a] Loop:y.body/on[] Loop:y.body/t[a] Loop:y.body/u[] y[a]
    z[b=unk__0]
frozen b: Loop 'Loop:y': it counts iterations

match irprune::enter_Loop: state goes in
(float[N, 4] x, int64 trips, bool c) => (float[N, 4] y)
{ y = Loop (trips, c, x) <body = step (int64 i, bool go, float[N, 4] s) => (bool on, float[N, 4] t)
{ on = Identity(go) t = Tanh(s) }>
}
x[a=N b=4] trips[] c[]
-> Loop:y.body/i[] Loop:y.body/go[] Loop:y.body/s[a b] Loop:y.body/on[] Loop:y.body/t[a b] y[a b]

refuse irprune::enter_Loop: state of unknown rank
(float[] x, int64 trips, bool c) => (float[] y)
{ y = Loop (trips, c, x) <body = step (int64 i, bool go, float[] s) => (bool on, float[] t)
{ on = Identity(go) t = Tanh(s) }>
}
x[?] trips[] c[]
-> Loop:y.body/i[] Loop:y.body/go[] Loop:y.body/s[?] Loop:y.body/on[] Loop:y.body/t[?] y[?]
refused irprune::enter_Loop 'Loop:y/enter': the shape of operand 2 is unknown
refused Tanh 'Loop:y.body/Tanh:t': the shape of operand 0 is unknown
refused Loop 'Loop:y': the shape of operand 2 is unknown

match Scan: elements of a sequence
(float[N, 4] h, float[T, N, 4] x) => (float[] y, float[] z)
{ y, z = Scan <num_scan_inputs = 1, body = step (float[N, 4] s, float[N, 4] e) => (float[N, 4] t, float[N, 4] u)
{ t = Add(s, e) u = Relu(t) }> (h, x)
}
h[a=N b=4] x[c=T a b]
-> Scan:y.body/s[a b] Scan:y.body/e[a b] Scan:y.body/t[a b] Scan:y.body/u[a b] y[a b] z[d=T a b]
frozen c: irprune::enter_Scan 'Scan:y/enter': it is scanned
frozen c d: Scan 'Scan:y': it is scanned

match Scan: a stored state is one use, of operator and body
(float[T, 3, 5] x) => (float[] z) <float[3, 4] h, float[5, 4] w, float[4, 4] r, float[4, 2] o>
{ y, a = Scan <num_scan_inputs = 1, body = step (float[3, 4] s, float[3, 5] e) => (float[3, 4] t, float[3, 4] u)
{ m = MatMul(e, w) v = MatMul(s, r) t = Add(m, v) u = Relu(t) }> (h, x)
z = MatMul(a, o) }
x[a=T b=3 c=5] h[b d=4] h[b d] w[c d] r[d d] o[d e=2]
-> Scan:y.body/s[b d] Scan:y.body/e[b c] Scan:y.body/m[b d] Scan:y.body/v[b d] Scan:y.body/t[b d]
    Scan:y.body/u[b d] y[b d] a[f=T b d] z[f b e]
group h:0 mlp 3: h:0
group w:0 mlp 5: w:0
group o:0 mlp 4: h:1 o:0 r:0 r:1 w:1
group o:1 mlp 2: o:1
frozen a: irprune::enter_Scan 'Scan:y/enter': it is scanned
frozen a f: Scan 'Scan:y': it is scanned

match Loop: a stored state is one use, of operator and body
(float[3, 5] x, int64 trips, bool c) => (float[3, 2] z) <float[3, 4] h, float[5, 4] w, float[4, 4] r, float[4, 2] o>
{ y = Loop (trips, c, h) <body = step (int64 i, bool go, float[3, 4] s) => (bool on, float[3, 4] t)
{ on = Identity(go) m = MatMul(x, w) u = MatMul(s, r) t = Add(m, u) }>
z = MatMul(y, o) }
x[a=3 b=5] trips[] c[] h[a c=4] h[a c] w[b c] r[c c] o[c d=2]
-> Loop:y.body/i[] Loop:y.body/go[] Loop:y.body/s[a c] Loop:y.body/on[] Loop:y.body/m[a c] Loop:y.body/u[a
    c] Loop:y.body/t[a c] y[a c] z[a d]
group w:0 mlp 5: w:0
group h:0 mlp 3: h:0
group o:0 mlp 4: h:1 o:0 r:0 r:1 w:1
group o:1 mlp 2: o:1

refuse Scan: the scanned axis
(float h, float[5] x) => (float[] y, float[] z)
{ y, z = Scan <num_scan_inputs = 1, body = step (float s, float e) => (float t, float u)
{ t = Add(s, e) u = Relu(t) }> (h, x)
}
h[] x[a=5!]
-> Scan:y.body/s[] Scan:y.body/e[] Scan:y.body/t[] Scan:y.body/u[] y[] z[b=5!]
frozen a: irprune::enter_Scan 'Scan:y/enter': it is scanned
frozen a b: Scan 'Scan:y': it is scanned

match irprune::enter_Scan: the second axis is scanned
(float[N, T, 4] x) => (float[] z)
{ z = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1],
body = step (float[N, 4] e) => (float[N, 4] u)
{ u = Relu(e) }> (x)
}
x[a=N b=T c=4]
-> Scan:z.body/e[a c] Scan:z.body/u[a c] z[a d=T c]
frozen b: irprune::enter_Scan 'Scan:z/enter': it is scanned
frozen b d: Scan 'Scan:z': it is scanned

refuse irprune::enter_Scan: the scanned axis
(float[5] x) => (float[] z)
{ z = Scan <num_scan_inputs = 1, body = step (float e) => (float u)
{ u = Relu(e) }> (x)
}
x[a=5!]
-> Scan:z.body/e[] Scan:z.body/u[] z[b=5!]
frozen a: irprune::enter_Scan 'Scan:z/enter': it is scanned
frozen a b: Scan 'Scan:z': it is scanned
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_axes(case: Case) -> None:
    check_case(case)
