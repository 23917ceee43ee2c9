"""Golden cases of contractions and convolutions: which dimension is which axis, and what is refused."""

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match Conv: one group with bias
(float[N, 4, 8, 8] x) => (float[] y) <float[6, 4, 3, 3] w, float[6] b> { y = Conv(x, w, b) }
x[a=N b=4 c=8! d=8!] w[e=6 b f=3! g=3!] b[e]
-> y[a e h=6! i=6!]
group w:1 channels 4: w:1
group w:0 channels 6: w:0 b:0
frozen c d f g h i: Conv 'Conv:y': the window of a convolution slides over it

match Conv: without bias over one spatial dimension
(float[N, 4, L] x) => (float[] y) <float[6, 4, 3] w> { y = Conv<pads = [1, 1]>(x, w) }
x[a=N b=4 c=L] w[d=6 b e=3!]
-> y[a d f=unk__0]
group w:0 channels 6: w:0
group w:1 channels 4: w:1
frozen c e f: Conv 'Conv:y': the window of a convolution slides over it

match Conv: three spatial dimensions
(float[N, 2, 4, 4, 4] x) => (float[] y) <float[6, 2, 3, 3, 3] w> { y = Conv(x, w) }
x[a=N b=2 c=4! d=4! e=4!] w[f=6 b g=3! h=3! i=3!]
-> y[a f j=2! k=2! l=2!]
group w:0 channels 6: w:0
group w:1 channels 2: w:1
frozen c d e g h i j k l: Conv 'Conv:y': the window of a convolution slides over it

match Conv: grouped
(float[N, 4, 8, 8] x) => (float[] y) <float[6, 2, 3, 3] w, float[6] b> { y = Conv<group = 2>(x, w, b) }
x[a=N (b=2 c=2) d=8! e=8!] w[(b f=3) c g=3! h=3!] b[(b f)]
-> y[a (b f) i=6! j=6!]
group w:0 groups 2: w:0 b:0
group w:1 channels 2: w:1
group w:0_1 channels 3: w:0 b:0
frozen d e g h i j: Conv 'Conv:y': the window of a convolution slides over it

match Conv: depthwise
(float[N, 4, 8, 8] x) => (float[] y) <float[4, 1, 3, 3] w, float[4] b> { y = Conv<group = 4>(x, w, b) }
x[a=N b=4 c=8! d=8!] w[b 1 e=3! f=3!] b[b]
-> y[a b g=6! h=6!]
group w:0 channels 4: w:0 b:0
frozen c d e f g h: Conv 'Conv:y': the window of a convolution slides over it

match Conv: depthwise with multiplier
(float[N, 4, 8, 8] x) => (float[] y) <float[12, 1, 3, 3] w> { y = Conv<group = 4>(x, w) }
x[a=N b=4 c=8! d=8!] w[(b e=3) 1 f=3! g=3!]
-> y[a (b e) h=6! i=6!]
group w:0 channels 4: w:0
group w:0_1 multiplier 3: w:0
frozen c d f g h i: Conv 'Conv:y': the window of a convolution slides over it

match Conv: weight computed at run time
(float[N, 4, 8, 8] x, float[6, 4, 3, 3] k) => (float[] y) { y = Conv(x, k) }
x[a=N b=4 c=8! d=8!] k[e=6 b f=3! g=3!]
-> y[a e h=6! i=6!]
frozen c d f g h i: Conv 'Conv:y': the window of a convolution slides over it

match Conv: a window of one element carries its positions
(float[N, 4, 8] x) => (float[] y) <float[6, 4, 1] w, float[6] b> { y = Conv(x, w, b) }
x[a=N b=4 c=8] w[d=6 b 1] b[d]
-> y[a d c]
group w:1 channels 4: w:1
group w:0 channels 6: w:0 b:0

match Conv: a window of one element in one dimension
(float[N, 4, 8, 8] x) => (float[] y) <float[6, 4, 1, 3] w> { y = Conv(x, w) }
x[a=N b=4 c=8 d=8!] w[e=6 b 1 f=3!]
-> y[a e c g=6!]
group w:0 channels 6: w:0
group w:1 channels 4: w:1
frozen d f g: Conv 'Conv:y': the window of a convolution slides over it

refuse Conv: a window of one element that jumps
(float[N, 4, 8] x) => (float[] y) <float[6, 4, 1] w> { y = Conv<strides = [2]>(x, w) }
x[a=N b=4 c=8!] w[d=6 b 1]
-> y[a d e=4!]
group w:0 channels 6: w:0
group w:1 channels 4: w:1
frozen c e: Conv 'Conv:y': the window of a convolution slides over it

refuse Conv: a window of one element over padding
(float[N, 4, 8] x) => (float[] y) <float[6, 4, 1] w> { y = Conv<pads = [0, 2]>(x, w) }
x[a=N b=4 c=8!] w[d=6 b 1]
-> y[a d e=10!]
group w:0 channels 6: w:0
group w:1 channels 4: w:1
frozen c e: Conv 'Conv:y': the window of a convolution slides over it

refuse Conv: channels are not a multiple of the groups [not run: malformed]
(float[N, 5, 8, 8] x) => (float[] y) <float[6, 2, 3, 3] w> { y = Conv<group = 2>(x, w) }
x[a=N b=5! c=8! d=8!] w[e=6! f=2! g=3! h=3!]
-> y[i=N j=6! k=6! l=6!]
frozen a b c d e f g h i j k l: Conv 'Conv:y': size 5 is not a multiple of 2

match ConvTranspose: one group with bias
(float[N, 4, 8, 8] x) => (float[] y) <float[4, 6, 2, 2] w, float[6] b>
{ y = ConvTranspose<strides = [2, 2]>(x, w, b) }
x[a=N b=4 c=8! d=8!] w[b e=6 f=2! g=2!] b[e]
-> y[a e h=16! i=16!]
group w:0 channels 4: w:0
group b:0 channels 6: w:1 b:0
frozen c d f g h i: ConvTranspose 'ConvTranspose:y': the window of a convolution slides over it

match ConvTranspose: grouped
(float[N, 4, 8] x) => (float[] y) <float[4, 3, 2] w, float[6] b> { y = ConvTranspose<group = 2>(x, w, b) }
x[a=N (b=2 c=2) d=8!] w[(b c) e=3 f=2!] b[(b e)]
-> y[a (b e) g=9!]
group w:0 groups 2: w:0 b:0
group w:0_1 channels 2: w:0
group b:0 channels 3: w:1 b:0
frozen d f g: ConvTranspose 'ConvTranspose:y': the window of a convolution slides over it

match ConvTranspose: depthwise
(float[N, 4, 8] x) => (float[] y) <float[4, 1, 2] w> { y = ConvTranspose<group = 4>(x, w) }
x[a=N b=4 c=8!] w[b 1 d=2!]
-> y[a b e=9!]
group w:0 channels 4: w:0
frozen c d e: ConvTranspose 'ConvTranspose:y': the window of a convolution slides over it

refuse ConvTranspose: channels are not a multiple of the groups [not run: malformed]
(float[N, 5, 8] x) => (float[] y) <float[5, 3, 2] w> { y = ConvTranspose<group = 2>(x, w) }
x[a=N b=5! c=8!] w[d=5! e=3! f=2!]
-> y[?]
frozen a b c d e f: ConvTranspose 'ConvTranspose:y': size 5 is not a multiple of 2

match Gemm: plain with bias vector
(float[N, 4] x) => (float[] y) <float[4, 6] w, float[6] b> { y = Gemm(x, w, b) }
x[a=N b=4] w[b c=6] b[c]
-> y[a c]
group w:0 mlp 4: w:0
group b:0 mlp 6: w:1 b:0

match Gemm: both factors transposed
(float[4, N] x) => (float[] y) <float[6, 4] w, float[6] b> { y = Gemm<transA = 1, transB = 1>(x, w, b) }
x[a=4 b=N] w[c=6 a] b[c]
-> y[b c]
group w:1 mlp 4: w:1
group w:0 mlp 6: w:0 b:0

match Gemm: bias matrix
(float[3, 4] x) => (float[] y) <float[6, 4] w, float[3, 6] b> { y = Gemm<transB = 1>(x, w, b) }
x[a=3 b=4] w[c=6 b] b[a c]
-> y[a c]
group w:1 mlp 4: w:1
group b:0 mlp 3: b:0
group w:0 mlp 6: b:1 w:0

match Gemm: bias row
(float[N, 4] x) => (float[] y) <float[6, 4] w, float[1, 6] b> { y = Gemm<transB = 1>(x, w, b) }
x[a=N b=4] w[c=6 b] b[1 c]
-> y[a c]
group w:1 mlp 4: w:1
group w:0 mlp 6: w:0 b:1

match Gemm: bias column
(float[3, 4] x) => (float[] y) <float[6, 4] w, float[3, 1] b> { y = Gemm<transB = 1>(x, w, b) }
x[a=3 b=4] w[c=6 b] b[a 1]
-> y[a c]
group w:0 mlp 6: w:0
group w:1 mlp 4: w:1
group b:0 mlp 3: b:0

match Gemm: bias of one element
(float[N, 4] x) => (float[] y) <float[4, 6] w, float[1] b> { y = Gemm(x, w, b) }
x[a=N b=4] w[b c=6] b[1]
-> y[a c]
group w:0 mlp 4: w:0
group w:1 mlp 6: w:1

match Gemm: without bias
(float[N, 4] x) => (float[] y) <float[4, 6] w> { y = Gemm(x, w) }
x[a=N b=4] w[b c=6]
-> y[a c]
group w:0 mlp 4: w:0
group w:1 mlp 6: w:1

refuse Gemm: sizes disagree [not run: malformed]
(float[N, 5] x) => (float[] y) <float[4, 6] w> { y = Gemm(x, w) }
x[a=N b=5!] w[c=4! d=6]
-> y[a d]
group w:1 mlp 6: w:1
frozen b c: Gemm 'Gemm:y': sizes 5 and 4 do not agree

match MatMul: weight of two dimensions
(float[N, S, 4] x) => (float[] y) <float[4, 6] w> { y = MatMul(x, w) }
x[a=N b=S c=4] w[c d=6]
-> y[a b d]
group w:0 mlp 4: w:0
group w:1 mlp 6: w:1

match MatMul: batch dimensions broadcast
(float[3, 1, S, 4] x, float[1, 5, 4, T] z) => (float[] y) { y = MatMul(x, z) }
x[a=3 1 b=S c=4] z[1 d=5 c e=T]
-> y[a d b e]

match MatMul: vector on the left
(float[4] x) => (float[] y) <float[3, 4, 6] w> { y = MatMul(x, w) }
x[a=4] w[b=3 a c=6]
-> y[b c]
group w:0 mlp 3: w:0
group w:1 mlp 4: w:1
group w:2 mlp 6: w:2

match MatMul: vector on the right
(float[N, 3, 4] x) => (float[] y) <float[4] w> { y = MatMul(x, w) }
x[a=N b=3 c=4] w[c]
-> y[a b]
group w:0 mlp 4: w:0

match MatMul: two vectors
(float[4] x) => (float[] y) <float[4] w> { y = MatMul(x, w) }
x[a=4] w[a]
-> y[]
group w:0 mlp 4: w:0

refuse MatMul: a scalar operand [not run: malformed]
(float x, float[4, 6] z) => (float[] y) { y = MatMul(x, z) }
x[] z[a=4! b=6!]
-> y[?]
frozen a b: MatMul 'MatMul:y': an operand is a scalar

match Einsum: heads
(float[N, S, 3, 4] x, float[N, T, 3, 4] z) => (float[] y)
{ y = Einsum<equation = "bshd,bthd->bhst">(x, z) }
x[a=N b=S c=3 d=4] z[a e=T c d]
-> y[a c b e]

match Einsum: ellipsis broadcasts
(float[N, 1, 3, 4] x, float[1, 5, 4, 6] z) => (float[N, 5, 3, 6] y)
{ y = Einsum<equation = "...ij,...jk->...ik">(x, z) }
x[a=N 1 b=3 c=4] z[1 d=5 c e=6]
-> y[a d b e]

match Einsum: implicit result
(float[N, 4] x) => (float[] y) <float[4, 6] w> { y = Einsum<equation = "ij,jk">(x, w) }
x[a=N b=4] w[b c=6]
-> y[a c]
group w:0 mlp 4: w:0
group w:1 mlp 6: w:1

match Einsum: a sum and a transpose of one operand
(float[N, 3, 4, 5] x) => (float[] y) { y = Einsum<equation = "...abc->...ca">(x) }
x[a=N b=3 c=4 d=5]
-> y[a d b]

refuse Einsum: diagonal
(float[4, 4] x) => (float[] y) { y = Einsum<equation = "ii->i">(x) }
x[a=4! b=4!]
-> y[c=4!]
frozen a b c: Einsum 'Einsum:y': the diagonal of operand 0 is taken ('ii')
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_axes(case: Case) -> None:
    check_case(case)
