"""Golden cases of views, resampling and shape arithmetic: how dimensions factor, move and stretch."""

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match Transpose: channels last
(float[N, 4, 8, 6] x) => (float[] y) { y = Transpose<perm = [0, 2, 3, 1]>(x) }
x[a=N b=4 c=8 d=6]
-> y[a c d b]

match Transpose: reversed by default
(float[N, 4, 8] x) => (float[] y) { y = Transpose(x) }
x[a=N b=4 c=8]
-> y[c b a]

match Reshape: a dimension splits
(float[N, 12, 8] x) => (float[] y) <int64[4] s = {0, 3, 4, 8}> { y = Reshape(x, s) }
x[a=N (b=3 c=4) d=8]
-> y[a b c d]

match Reshape: dimensions merge
(float[N, 4, 2, 3] x) => (float[] y) <int64[2] s = {0, -1}> { y = Reshape(x, s) }
x[a=N b=4 c=2 d=3]
-> y[a (b c d)]

match Reshape: minus one is the batch
(float[N, 4, 2, 3] x) => (float[] y) <int64[2] s = {-1, 24}> { y = Reshape(x, s) }
x[a=N b=4 c=2 d=3]
-> y[a (b c d)]

match Reshape: ones come and go
(float[N, 4, 1, 1] x) => (float[] y) <int64[3] s = {0, 1, 4}> { y = Reshape(x, s) }
x[a=N b=4 1 1]
-> y[a 1 b]

match Reshape: only the ends have a common refinement
(float[2, 6, 4, 5] x) => (float[] y) <int64[4] s = {2, 8, 3, 5}> { y = Reshape(x, s) }
x[a=2 b=6! c=4! d=5]
-> y[a e=8! f=3! d]
frozen b c e f: Reshape 'Reshape:y': the shapes have no common factors

match Reshape: a size of zero is meant
(float[2, 4] x) => (float[] y) <int64[2] s = {4, 2}> { y = Reshape<allowzero = 1>(x, s) }
x[a=2 (b=2 c=2)]
-> y[(a b) c]

match Reshape: shape computed from a shape
(float[N, 4, 2, 3] x) => (float[] y) <int64 zero = {0}, int64[1] first = {0}, int64[1] rest = {-1}>
{ s = Shape(x) n = Gather(s, zero) m = Unsqueeze(n, first) t = Concat<axis = 0>(m, rest) y = Reshape(x, t) }
x[a=N b=4 c=2 d=3]
-> s[(1 + e=3!)] n[] m[1] t[(1 + 1)] y[a (b c d)]
frozen e: Shape 'Shape:s': its result holds no channels

refuse Reshape: no common refinement
(float[6, 4] x) => (float[] y) <int64[2] s = {8, 3}> { y = Reshape(x, s) }
x[a=6! b=4!]
-> y[c=8! d=3!]
frozen a b c d: Reshape 'Reshape:y': the shapes have no common factors

refuse Reshape: shape computed at run time
(float[2, 4] x, int64[R] s) => (float[] y) { y = Reshape(x, s) }
x[a=2! b=4!] s[c=R]
-> y[?]
frozen a b c: Reshape 'Reshape:y': its shape operand is computed at run time

match Flatten: behind the batch
(float[N, 4, 2, 3] x) => (float[] y) { y = Flatten(x) }
x[a=N b=4 c=2 d=3]
-> y[a (b c d)]

match Flatten: from the last axis
(float[N, 4, 2, 3] x) => (float[] y) { y = Flatten<axis = -1>(x) }
x[a=N b=4 c=2 d=3]
-> y[(a b c) d]

match Flatten: everything
(float[2, 4, 1] x) => (float[] y) { y = Flatten<axis = 0>(x) }
x[a=2 b=4 1]
-> y[1 (a b)]

match Squeeze: axes as attribute [opset 11]
(float[N, 4, 1, 1] x) => (float[] y) { y = Squeeze<axes = [2, 3]>(x) }
x[a=N b=4 1 1]
-> y[a b]

match Squeeze: axes as operand
(float[N, 4, 1, 1] x) => (float[] y) <int64[1] axes = {-1}> { y = Squeeze(x, axes) }
x[a=N b=4 1 1]
-> y[a b 1]

match Squeeze: all dimensions of size one
(float[3, 4, 1, 1] x) => (float[] y) { y = Squeeze(x) }
x[a=3 b=4 1 1]
-> y[a b]

refuse Squeeze: axes computed at run time
(float[N, 4, 1, 1] x, int64[1] axes) => (float[] y) { y = Squeeze(x, axes) }
x[a=N b=4! 1 1] axes[1]
-> y[?]
frozen a b: Squeeze 'Squeeze:y': axes (operand 1) is computed at run time

match Unsqueeze: axes as attribute [opset 11]
(float[N, 4] x) => (float[] y) { y = Unsqueeze<axes = [2, 3]>(x) }
x[a=N b=4]
-> y[a b 1 1]

match Unsqueeze: axes as operand
(float[N, 4] x) => (float[] y) <int64[2] axes = {-1, 0}> { y = Unsqueeze(x, axes) }
x[a=N b=4]
-> y[1 a b 1]

refuse Unsqueeze: axes computed at run time
(float[N, 4] x, int64[1] axes) => (float[] y) { y = Unsqueeze(x, axes) }
x[a=N b=4!] axes[1]
-> y[?]
frozen a b: Unsqueeze 'Unsqueeze:y': axes (operand 1) is computed at run time

match Expand: dimensions of size one stretch
(float[N, 4, 1] x) => (float[] y) <int64[3] s = {1, 4, 5}> { y = Expand(x, s) }
x[a=N b=4 1]
-> y[a b c=5]

match Expand: new dimensions in front
(float[4] x) => (float[] y) <int64[3] s = {2, 3, 4}> { y = Expand(x, s) }
x[a=4]
-> y[b=2 c=3 a]

match Expand: a shape shorter than the operand
(float[N, 4, 1] x) => (float[] y) <int64[1] s = {5}> { y = Expand(x, s) }
x[a=N b=4 1]
-> y[a b c=5]

refuse Expand: shape computed at run time
(float[N, 4, 1] x, int64[3] s) => (float[N, 4, L] y) { y = Expand(x, s) }
x[a=N b=4! 1] s[c=3!]
-> y[a b d=L]
frozen a b d: Expand 'Expand:y': its size is computed at run time
frozen c: Expand 'Expand:y': operand 1 counts positions, it holds no channels

refuse Expand: a number that only some sizes go with
(float[N, 4, 1] x, float[4, 6] w) => (float[] y) <int64[3] s = {8, 4, 5}> { y = Expand(x, s) }
x[a=N b=4 1] w[c=4 d=6]
-> y[a b e=5]
frozen a: Expand 'Expand:y': its size is computed at run time

refuse Expand: rank of the result unknown
(float[N, 4, 1] x, int64[R] s) => (float[] y) { y = Expand(x, s) }
x[a=N b=4! 1] s[c=R]
-> y[?]
frozen a b c: Expand 'Expand:y': the rank of the result is unknown

match Tile: repeats are an outer factor
(float[N, 4, 3] x) => (float[] y) <int64[3] r = {1, 2, 1}> { y = Tile(x, r) }
x[a=N b=4 c=3]
-> y[a (d=2 b) c]

match Tile: a dimension of size one
(float[N, 1, 3] x) => (float[] y) <int64[3] r = {1, 4, 1}> { y = Tile(x, r) }
x[a=N 1 b=3]
-> y[a c=4 b]

match Tile: repeats from a one-hot vector
(float[N, 1, 3] x, float[M, 4] z) => (float[] y, float[] w)
<int64[1] at = {1}, int64 three = {3}, int64[1] one = {1}, int64[1] r = {-1}>
{ s = Shape<start = 1>(z) v = Concat<axis = 0>(one, s) h = OneHot(at, three, v) f = Reshape(h, r) y = Tile(x, f)
w = Relu(z) }
x[a=N 1 b=3] z[c=M d=4]
-> s[1] v[(1 + 1)] h[1 e=3!] f[e] y[a f=4 b] w[c d]
frozen e: OneHot 'OneHot:h': it counts classes
frozen e: Tile 'Tile:y': operand 1 counts positions, it holds no channels

refuse Tile: repeats computed at run time
(float[N, 4, 3] x, int64[3] r) => (float[] y) { y = Tile(x, r) }
x[a=N b=4! c=3!] r[d=3!]
-> y[e=unk__0 f=unk__1 g=unk__2]
frozen a b c d e f g: Tile 'Tile:y': its repeats are computed at run time

match Resize: scales
(float[N, 4, 8, 8] x) => (float[] y) <float[4] s = {1, 1, 2, 2}>
{ y = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(x, "", s) }
x[a=N b=4 c=8! d=8!] s[e=4!]
-> y[a b f=16! g=16!]
frozen c d f g: Resize 'Resize:y': it is resampled
frozen e: Resize 'Resize:y': operand 2 counts positions, it holds no channels

match Resize: sizes
(float[2, 4, 8, 8] x) => (float[] y) <int64[4] s = {2, 4, 8, 12}> { y = Resize<mode = "linear">(x, "", "", s) }
x[a=2 b=4 c=8 d=8!]
-> y[a b c e=12!]
frozen d e: Resize 'Resize:y': it is resampled

match Resize: sizes of two axes [opset 18]
(float[N, 4, 8, 8] x) => (float[] y) <int64[2] s = {12, 12}>
{ y = Resize<mode = "nearest", axes = [2, 3]>(x, "", "", s) }
x[a=N b=4 c=8! d=8!]
-> y[a b e=12! f=12!]
frozen c d e f: Resize 'Resize:y': it is resampled

match Resize: scales in the second operand [opset 10]
(float[N, 4, 8, 8] x) => (float[] y) <float[4] s = {1, 1, 2, 2}> { y = Resize<mode = "nearest">(x, s) }
x[a=N b=4 c=8! d=8!] s[e=4!]
-> y[a b f=16! g=16!]
frozen c d f g: Resize 'Resize:y': it is resampled
frozen e: Resize 'Resize:y': operand 1 counts positions, it holds no channels

refuse Resize: channels are resampled
(float[2, 4, 8] x) => (float[] y) <float[3] s = {1, 2, 1}> { y = Resize<mode = "nearest">(x, "", s) }
x[a=2 b=4! c=8] s[d=3!]
-> y[a e=8! c]
frozen b e: Resize 'Resize:y': it is resampled
frozen d: Resize 'Resize:y': operand 2 counts positions, it holds no channels

match Upsample: scales as operand [opset 9]
(float[N, 4, 8, 8] x) => (float[] y) <float[4] s = {1, 1, 2, 2}> { y = Upsample<mode = "nearest">(x, s) }
x[a=N b=4 c=8! d=8!] s[e=4!]
-> y[a b f=16! g=16!]
frozen c d f g: Upsample 'Upsample:y': it is resampled
frozen e: Upsample 'Upsample:y': operand 1 counts positions, it holds no channels

match Upsample: scales as attribute [opset 7]
(float[N, 4, 8, 8] x) => (float[] y) { y = Upsample<mode = "nearest", scales = [1.0, 1.0, 2.0, 2.0]>(x) }
x[a=N b=4 c=8! d=8!]
-> y[a b e=16! f=16!]
frozen c d e f: Upsample 'Upsample:y': it is resampled

refuse Upsample: channels are resampled [opset 9]
(float[2, 4, 8] x) => (float[] y) <float[3] s = {1, 2, 1}> { y = Upsample<mode = "nearest">(x, s) }
x[a=2 b=4! c=8] s[d=3!]
-> y[a e=8! c]
frozen b e: Upsample 'Upsample:y': it is resampled
frozen d: Upsample 'Upsample:y': operand 1 counts positions, it holds no channels

match DepthToSpace: depth first
(float[N, 12, 3, 5] x) => (float[] y) { y = DepthToSpace<blocksize = 2>(x) }
x[a=N (b=2! c=2! d=3) e=3 f=5]
-> y[a d (e b) (f c)]
frozen b c: DepthToSpace 'DepthToSpace:y': it becomes space

match DepthToSpace: channels first
(float[N, 12, 3, 5] x) => (float[] y) { y = DepthToSpace<blocksize = 2, mode = "CRD">(x) }
x[a=N (b=3 c=2! d=2!) e=3 f=5]
-> y[a b (e c) (f d)]
frozen c d: DepthToSpace 'DepthToSpace:y': it becomes space

refuse DepthToSpace: channels are not a multiple [not run: malformed]
(float[N, 6, 3, 5] x) => (float[] y) { y = DepthToSpace<blocksize = 2>(x) }
x[a=N b=6! c=3! d=5!]
-> y[e=N 1 f=6! g=10!]
frozen a b c d e f g: DepthToSpace 'DepthToSpace:y': size 6 is not a multiple of 4

match SpaceToDepth: blocks of space
(float[N, 3, 4, 6] x) => (float[] y) { y = SpaceToDepth<blocksize = 2>(x) }
x[a=N b=3 (c=2 d=2!) (e=3 f=2!)]
-> y[a (d f b) c e]
frozen d f: SpaceToDepth 'SpaceToDepth:y': it comes from space

refuse SpaceToDepth: space is not a multiple [not run: malformed]
(float[N, 3, 5, 6] x) => (float[] y) { y = SpaceToDepth<blocksize = 2>(x) }
x[a=N b=3! c=5! d=6!]
-> y[e=N f=12! g=2! h=3!]
frozen a b c d e f g h: SpaceToDepth 'SpaceToDepth:y': size 5 is not a multiple of 2

match Shape: only sizes are read [not run: sizes change]
(float[N, 4] x) => (int64[] y) { y = Shape(x) }
x[a=N b=4]
-> y[c=2!]
frozen c: Shape 'Shape:y': its result holds no channels

match Size: only sizes are read [not run: sizes change]
(float[N, 4] x) => (int64[] y) { y = Size(x) }
x[a=N b=4]
-> y[]

match Range: positions beside channels
(float[N, 4] x) => (float[] y, float[] z) <float start = {0}, float stop = {3}, float step = {1}>
{ y = Range(start, stop, step) z = Relu(x) }
x[a=N b=4]
-> y[c=3!] z[a b]
frozen c: Range 'Range:y': it counts positions

match Range: as many as there are elements
(float[N, 4] x) => (float[] y) <int64 zero = {0}, int64 one = {1}, int64[1] last = {1}>
{ s = Shape<start = 0, end = 1>(x) n = Squeeze(s) r = Range(zero, n, one) c = Cast<to = 1>(r) u = Unsqueeze(c, last)
y = Add(x, u) }
x[a=N b=4]
-> s[1] n[] r[a] c[a] u[a 1] y[a b]
frozen a: Range 'Range:r': it counts positions

match Range: one position is none
(float[N, 4] x) => (float[] y) <int64 zero = {0}, int64 one = {1}>
{ r = Range(zero, one, one) c = Cast<to = 1>(r) y = Add(x, c) }
x[a=N b=4]
-> r[1] c[1] y[a b]

refuse Range: positions that channels are compared with
(float[N, 3] x) => (float[] y) <float start = {0}, float stop = {3}, float step = {1}>
{ p = Range(start, stop, step) y = Add(x, p) }
x[a=N b=3!]
-> p[b] y[a b]
frozen b: Range 'Range:p': it counts positions

match ConstantOfShape: sizes follow
(float[N, 4] x) => (float[] y) <int64[2] s = {1, 4}> { c = ConstantOfShape(s) y = Add(x, c) }
x[a=N b=4]
-> c[1 c=4] y[a b]

refuse ConstantOfShape: shape computed at run time
(float[N, 4] x, int64[2] s) => (float[N, 4] y) { c = ConstantOfShape(s) y = Add(x, c) }
x[a=N b=4!] s[c=2!]
-> c[a d=unk__1] y[a b]
frozen a c d: ConstantOfShape 'ConstantOfShape:c': its shape is computed at run time
frozen b d: Add 'Add:y': size 4 and an unknown size do not agree
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_axes(case: Case) -> None:
    check_case(case)
