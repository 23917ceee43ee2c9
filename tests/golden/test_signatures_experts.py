"""Golden cases: experts that a router picks can go, unless something else reads which it picked."""

from __future__ import annotations

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match TopK: experts in a stack
(float[3, 4] x) => (float[3, 5, 4] y)
<float[4, 6] r, float[6, 5, 4] w, int64[1] k = {2}, int64[2] a = {2, 3}, int64[1] o = {1}>
{ l = MatMul(x, r) s = Softmax(l) t, i = TopK(s, k) m = Gather(w, i) u = Unsqueeze(t, a)
  c = Mul(m, u) y = ReduceSum<keepdims = 0>(c, o) }
x[a=3 b=4] r[b c=6] w[c d=5 e=4]
-> l[a c] s[a c] t[a f=2!] i[a f] m[a f d e] u[a f 1 1] c[a f d e] y[a d e]
group r:0 mlp 4: r:0
group w:0 experts 6: w:0 r:1 (inexact)
group w:1 mlp 5: w:1
group w:2 mlp 4: w:2
frozen f: TopK 'TopK:t': it is sorted

match TopK: experts by the tuple of an index, weights from the scores
(float[3, 4] x) => (float[3, 2, 5, 4] y, float[3, 2] v)
<float[4, 6] r, float[6] bias, float[6, 5, 4] w, int64[1] k = {2}, int64[1] a = {-1}>
{ l = MatMul(x, r) s = Sigmoid(l) p = Add(s, bias) t, i = TopK(p, k) v = GatherElements<axis = 1>(s, i)
  j = Unsqueeze(i, a) y = GatherND(w, j) }
x[a=3 b=4] r[b c=6] bias[c] w[c d=5 e=4]
-> l[a c] s[a c] p[a c] t[a f=2!] i[a f] v[a f] j[a f 1] y[a f d e]
group r:0 mlp 4: r:0
group w:0 experts 6: w:0 r:1 bias:0
group w:1 mlp 5: w:1
group w:2 mlp 4: w:2
frozen f: TopK 'TopK:t': it is sorted
frozen f: GatherElements 'GatherElements:v': it is looked up by index

refuse TopK: the numbers of the experts are a result
(float[3, 4] x) => (float[3, 2, 5, 4] y, int64[3, 2] i) <float[4, 6] r, float[6, 5, 4] w, int64[1] k = {2}>
{ l = MatMul(x, r) s = Softmax(l) t, i = TopK(s, k) y = Gather(w, i) }
x[a=3 b=4] r[b c=6!] w[d=6! e=5 f=4]
-> l[a c] s[a c] t[a g=2!] i[a g] y[a g e f]
group r:0 mlp 4: r:0
group w:1 mlp 5: w:1
group w:2 mlp 4: w:2
frozen c: Softmax 'Softmax:s': a softmax is taken over it
frozen c g: TopK 'TopK:t': it is sorted
frozen d: Gather 'Gather:y': it is looked up by index

refuse TopK: arithmetic with the numbers of the experts
(float[3, 4] x) => (float[3, 2, 5, 4] y) <float[4, 6] r, float[6, 5, 4] w, int64[1] k = {2}, int64 one = {1}>
{ l = MatMul(x, r) s = Softmax(l) t, i = TopK(s, k) j = Sub(i, one) y = Gather(w, j) }
x[a=3 b=4] r[b c=6!] w[d=6! e=5 f=4]
-> l[a c] s[a c] t[a g=2!] i[a g] j[a g] y[a g e f]
group r:0 mlp 4: r:0
group w:1 mlp 5: w:1
group w:2 mlp 4: w:2
frozen c: Softmax 'Softmax:s': a softmax is taken over it
frozen c g: TopK 'TopK:t': it is sorted
frozen d: Gather 'Gather:y': it is looked up by index

refuse TopK: the smallest
(float[3, 4] x) => (float[3, 2, 5, 4] y) <float[4, 6] r, float[6, 5, 4] w, int64[1] k = {2}>
{ l = MatMul(x, r) t, i = TopK<largest = 0>(l, k) y = Gather(w, i) }
x[a=3 b=4] r[b c=6!] w[d=6! e=5 f=4]
-> l[a c] t[a g=2!] i[a g] y[a g e f]
group r:0 mlp 4: r:0
group w:1 mlp 5: w:1
group w:2 mlp 4: w:2
frozen c g: TopK 'TopK:t': it is sorted
frozen d: Gather 'Gather:y': it is looked up by index

refuse TopK: no stack of matrices
(float[3, 4] x) => (float[3, 2, 5] y) <float[4, 6] r, float[6, 5] w, int64[1] k = {2}>
{ l = MatMul(x, r) s = Softmax(l) t, i = TopK(s, k) y = Gather(w, i) }
x[a=3 b=4] r[b c=6!] w[d=6! e=5]
-> l[a c] s[a c] t[a f=2!] i[a f] y[a f e]
group r:0 mlp 4: r:0
group w:1 mlp 5: w:1
frozen c: Softmax 'Softmax:s': a softmax is taken over it
frozen c f: TopK 'TopK:t': it is sorted
frozen d: Gather 'Gather:y': it is looked up by index

refuse TopK: a lookup that starts at the end of a batch
(float[3, 4] x) => (float[3, 5, 4] y, float[3, 2, 5, 4] z)
<float[4, 6] r, float[6, 5, 4] w, float[2, 6, 5, 4] v, int64[1] k = {2}>
{ l = MatMul(x, r) s = Softmax(l) t, i = TopK(s, k) z = Gather(w, i) y = GatherND(v, i) }
x[a=3! b=4] r[b c=6!] w[c d=5 e=4] v[f=2! g=6! h=5 i=4]
-> l[a c] s[a c] t[a j=2!] i[a j] z[a j d e] y[a h i]
group r:0 mlp 4: r:0
group w:1 mlp 5: w:1
group w:2 mlp 4: w:2
group v:2 mlp 5: v:2
group v:3 mlp 4: v:3
frozen a c f g j: GatherND 'GatherND:y': it is looked up by index
frozen j: TopK 'TopK:t': it is sorted
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    check_case(case)
