"""Golden cases: deformable windows, sequences, elements chosen at run time, pads that cut."""

from __future__ import annotations

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match DeformConv: offsets are not channels
(float[N, 4, 5, 5] x, float[N, 18, 3, 3] o, float[N, 9, 3, 3] m) => (float[] y) <float[6, 4, 3, 3] w, float[6] b>
{ y = DeformConv(x, w, o, b, m) }
x[a=N b=4 c=5! d=5!] o[a e=18! f=3! g=3!] m[a h=9! f g] w[i=6 b j=3! k=3!] b[i]
-> y[a i f g]
group w:1 channels 4: w:1
group w:0 channels 6: w:0 b:0
frozen c d e f g h j k: DeformConv 'DeformConv:y': the window of a convolution slides over it

match DeformConv: groups
(float[N, 4, 5, 5] x, float[N, 18, 3, 3] o) => (float[] y) <float[6, 2, 3, 3] w>
{ y = DeformConv<group = 2>(x, w, o) }
x[a=N (b=2 c=2) d=5! e=5!] o[a f=18! g=3! h=3!] w[(b i=3) c j=3! k=3!]
-> y[a (b i) g h]
group w:0 groups 2: w:0
group w:1 channels 2: w:1
group w:0_1 channels 3: w:0
frozen d e f g h j k: DeformConv 'DeformConv:y': the window of a convolution slides over it

match DeformConv: blocks of offsets
(float[N, 4, 5, 5] x, float[N, 36, 3, 3] o) => (float[] y) <float[6, 4, 3, 3] w>
{ y = DeformConv<offset_group = 2>(x, w, o) }
x[a=N (b=2! c=2) d=5! e=5!] o[a f=36! g=3! h=3!] w[i=6 (b c) j=3! k=3!]
-> y[a i g h]
group w:1_1 channels 2: w:1
group w:0 channels 6: w:0
frozen b d e f g h j k: DeformConv 'DeformConv:y': the window of a convolution slides over it

refuse DeformConv: groups and blocks of offsets
(float[N, 4, 5, 5] x, float[N, 36, 3, 3] o) => (float[] y) <float[6, 2, 3, 3] w>
{ y = DeformConv<group = 2, offset_group = 2>(x, w, o) }
x[a=N b=4! c=5! d=5!] o[e=N f=36! g=3! h=3!] w[i=6! j=2! k=3! l=3!]
-> y[m=N n=6! o=3! p=3!]
frozen a b c d e f g h i j k l m n o p: DeformConv 'DeformConv:y': its channels are in 2 groups and in 2
    blocks of offsets

match Col2Im: windows of channels
(float[N, 12, 9] x) => (float[] y) <int64[2] s = {4, 4}, int64[2] b = {2, 2}> { y = Col2Im(x, s, b) }
x[a=N (b=3 c=4!) d=9!]
-> y[a b e=4! f=4!]
frozen c d e f: Col2Im 'Col2Im:y': the window of a convolution slides over it

refuse Col2Im: a block that run time tells
(float[N, 12, 9] x, int64[2] b) => (float[] y) <int64[2] s = {4, 4}> { y = Col2Im(x, s, b) }
x[a=N b=12! c=9!] b[d=2!]
-> y[e=unk__0 f=unk__1 g=4! h=4!]
frozen a b c d e f g h: Col2Im 'Col2Im:y': its block shape (operand 2) is computed at run time

match CenterCropPad: another axis
(float[N, 4, 8] x) => (float[] y) <int64[1] s = {5}> { y = CenterCropPad<axes = [2]>(x, s) }
x[a=N b=4 c=8!]
-> y[a b d=5!]
frozen c d: CenterCropPad 'CenterCropPad:y': elements are cut out of it

refuse CenterCropPad: channels
(float[N, 4] x) => (float[] y) <int64[1] s = {3}> { y = CenterCropPad<axes = [1]>(x, s) }
x[a=N b=4!]
-> y[a c=3!]
frozen b c: CenterCropPad 'CenterCropPad:y': elements are cut out of it

match Compress: another axis
(float[N, 4, 3] x, bool[3] c) => (float[] y) { y = Compress<axis = 2>(x, c) }
x[a=N b=4 c=3!] c[d=3!]
-> y[a b e=unk__0]
frozen c e: Compress 'Compress:y': it is looked up by index
frozen d: Compress 'Compress:y': operand 1 counts positions, it holds no channels

refuse Compress: of all elements
(float[N, 4] x, bool[3] c) => (float[] y) { y = Compress(x, c) }
x[a=N b=4!] c[c=3!]
-> y[d=unk__0]
frozen a b d: Compress 'Compress:y': it is looked up by index
frozen c: Compress 'Compress:y': operand 1 counts positions, it holds no channels

match TensorScatter: heads of a cache [opset 24] [not run: no kernel]
(float[N, 4, 8, 6] x, float[N, 4, 2, 6] u, int64[N] i) => (float[] y) { y = TensorScatter(x, u, i) }
x[a=N b=4 c=8! d=6] u[a b e=2! d] i[a]
-> y[a b c d]
frozen c e: TensorScatter 'TensorScatter:y': it is looked up by index

refuse TensorScatter: positions [opset 24]
(float[N, 8, 1] x, float[N, 2, 1] u, int64[N] i) => (float[] y) { y = TensorScatter(x, u, i) }
x[a=N b=8! 1] u[a c=2! 1] i[a]
-> y[a b 1]
frozen b c: TensorScatter 'TensorScatter:y': it is looked up by index

match CumProd: another axis [opset 26] [not run: no kernel]
(float[N, 4, 8] x) => (float[] y) <int64 a = {2}> { y = CumProd(x, a) }
x[a=N b=4 c=8!]
-> y[a b c]
frozen c: CumProd 'CumProd:y': a running sum is taken over it

refuse CumProd: its own axis [opset 26]
(float[N, 4] x) => (float[] y) <int64 a = {1}> { y = CumProd(x, a) }
x[a=N b=4!]
-> y[a b]
frozen b: CumProd 'CumProd:y': a running sum is taken over it

match MaxRoiPool: channels
(float[N, 4, 8, 8] x, float[R, 5] r) => (float[] y) { y = MaxRoiPool<pooled_shape = [2, 2]>(x, r) }
x[a=N b=4 c=8! d=8!] r[e=R f=5!]
-> y[e b g=2! h=2!]
frozen a c d e f g h: MaxRoiPool 'MaxRoiPool:y': order or identity matters

refuse MaxRoiPool: one channel
(float[N, 1, 8, 8] x, float[R, 5] r) => (float[] y) { y = MaxRoiPool<pooled_shape = [2, 2]>(x, r) }
x[a=N 1 b=8! c=8!] r[d=R e=5!]
-> y[d 1 f=2! g=2!]
frozen a b c d e f g: MaxRoiPool 'MaxRoiPool:y': order or identity matters

match Det: of matrices of each channel
(float[4, 3, 3] x) => (float[] y) { y = Det(x) }
x[a=4 b=3! c=3!]
-> y[a]
frozen b c: Det 'Det:y': order or identity matters

refuse Det: one matrix
(float[3, 3] x) => (float[] y) { y = Det(x) }
x[a=3! b=3!]
-> y[]
frozen a b: Det 'Det:y': order or identity matters

match SwiGLU: gate and value [opset 28] [not run: no kernel]
(float[N, 4] x, float[N, 4] z) => (float[] y) { y = SwiGLU(x, z) }
x[a=N b=4] z[a b]
-> y[a b]

refuse SwiGLU: shapes that do not go together [opset 28]
(float[N, 4] x, float[N, 3] z) => (float[] y) { y = SwiGLU(x, z) }
x[a=N b=4!] z[a c=3!]
-> y[a b]
frozen b c: SwiGLU 'SwiGLU:y': sizes 4 and 3 do not agree

match SequenceConstruct: elements of the same axes
(float[N, 4] x, float[N, 4] z) => (float[] y) <int64 a = {1}> { s = SequenceConstruct(x, z) y = SequenceAt(s, a) }
x[a=N b=4] z[a b]
-> s[a b] y[a b]

refuse SequenceConstruct: elements of different sizes
(float[N, 4] x, float[N, 3] z) => (float[] y) <int64 a = {1}> { s = SequenceConstruct(x, z) y = SequenceAt(s, a) }
x[a=N b=4!] z[a c=3!]
-> s[a b] y[a b]
frozen b c: SequenceConstruct 'SequenceConstruct:s': sizes 4 and 3 do not agree

match SequenceAt: of what was joined
(float[N, 4] x, float[N, 4] z) => (float[] y) <int64 a = {0}> { s = SequenceConstruct(x, z) y = SequenceAt(s, a) }
x[a=N b=4] z[a b]
-> s[a b] y[a b]

refuse SequenceAt: of a sequence that begins empty
(float[N, 4] x) => (float[] y) <int64 a = {0}>
{ e = SequenceEmpty() s = SequenceInsert(e, x) y = SequenceAt(s, a) }
x[a=N b=4!]
-> e[?] s[?] y[?]
frozen a b: SequenceInsert 'SequenceInsert:s': the rank of 'e' is unknown
refused SequenceEmpty 'SequenceEmpty:e': nothing says which axes the elements will have
refused SequenceAt 'SequenceAt:y': the rank of 's' is unknown

match SequenceErase: of what was joined
(float[N, 4] x, float[N, 4] z) => (float[] y) <int64 a = {0}>
{ s = SequenceConstruct(x, z) t = SequenceErase(s, a) y = SequenceAt(t, a) }
x[a=N b=4] z[a b]
-> s[a b] t[a b] y[a b]

refuse SequenceErase: of a sequence that begins empty
(float[N, 4] x) => (float[] y) <int64 a = {0}>
{ e = SequenceEmpty() s = SequenceInsert(e, x) t = SequenceErase(s) y = SequenceAt(t, a) }
x[a=N b=4!]
-> e[?] s[?] t[?] y[?]
frozen a b: SequenceInsert 'SequenceInsert:s': the rank of 'e' is unknown
refused SequenceEmpty 'SequenceEmpty:e': nothing says which axes the elements will have
refused SequenceErase 'SequenceErase:t': the rank of 's' is unknown
refused SequenceAt 'SequenceAt:y': the rank of 't' is unknown

match SequenceInsert: one more
(float[N, 4] x, float[N, 4] z) => (float[] y) <int64 a = {1}>
{ s = SequenceConstruct(x) t = SequenceInsert(s, z) y = SequenceAt(t, a) }
x[a=N b=4] z[a b]
-> s[a b] t[a b] y[a b]

refuse SequenceInsert: into one that is empty
(float[N, 4] x) => (float[] y) <int64 a = {0}>
{ e = SequenceEmpty() s = SequenceInsert(e, x) y = SequenceAt(s, a) }
x[a=N b=4!]
-> e[?] s[?] y[?]
frozen a b: SequenceInsert 'SequenceInsert:s': the rank of 'e' is unknown
refused SequenceEmpty 'SequenceEmpty:e': nothing says which axes the elements will have
refused SequenceAt 'SequenceAt:y': the rank of 's' is unknown

match SequenceLength: of what was joined
(float[N, 4] x, float[N, 4] z) => (float[] y, int64[] n) <int64 a = {1}>
{ s = SequenceConstruct(x, z) n = SequenceLength(s) y = SequenceAt(s, a) }
x[a=N b=4] z[a b]
-> s[a b] n[] y[a b]

refuse SequenceLength: of a sequence that begins empty
(float[N, 4] x) => (float[] y, int64[] n) <int64 a = {0}>
{ e = SequenceEmpty() s = SequenceInsert(e, x) n = SequenceLength(s) y = SequenceAt(s, a) }
x[a=N b=4!]
-> e[?] s[?] n[] y[?]
frozen a b: SequenceInsert 'SequenceInsert:s': the rank of 'e' is unknown
refused SequenceEmpty 'SequenceEmpty:e': nothing says which axes the elements will have
refused SequenceAt 'SequenceAt:y': the rank of 's' is unknown
refused SequenceLength 'SequenceLength:n': the rank of 's' is unknown

match SplitToSequence: another axis
(float[N, 4, 6] x) => (float[] y) <int64 n = {3}, int64 a = {1}>
{ s = SplitToSequence<axis = 2>(x, n) y = SequenceAt(s, a) }
x[a=N b=4 c=6!]
-> s[a b d=?1] y[a b d]
frozen c d: SplitToSequence 'SplitToSequence:s': it is split into the elements of a sequence

refuse SplitToSequence: its own axis
(float[N, 4] x) => (float[] y) <int64 a = {1}>
{ s = SplitToSequence<axis = 1, keepdims = 0>(x) y = SequenceAt(s, a) }
x[a=N b=4!]
-> s[a] y[a]
frozen b: SplitToSequence 'SplitToSequence:s': it is split into the elements of a sequence

match ConcatFromSequence: another axis
(float[N, 4, 6] x, float[N, 4, 6] z) => (float[] y) { s = SequenceConstruct(x, z)
y = ConcatFromSequence<axis = 2>(s) }
x[a=N b=4 c=6!] z[a b c]
-> s[a b c] y[a b d=unk__0]
frozen c d: ConcatFromSequence 'ConcatFromSequence:y': the elements of a sequence are laid end to end along
    it

match ConcatFromSequence: a new axis
(float[N, 4] x, float[N, 4] z) => (float[] y)
{ s = SequenceConstruct(x, z) y = ConcatFromSequence<axis = -1, new_axis = 1>(s) }
x[a=N b=4] z[a b]
-> s[a b] y[a b c=unk__0]
frozen c: ConcatFromSequence 'ConcatFromSequence:y': the elements of a sequence are laid end to end along it

refuse ConcatFromSequence: its own axis
(float[N, 4] x, float[N, 4] z) => (float[] y) { s = SequenceConstruct(x, z) y = ConcatFromSequence<axis = 1>(s) }
x[a=N b=4!] z[a b]
-> s[a b] y[a c=unk__0]
frozen b c: ConcatFromSequence 'ConcatFromSequence:y': the elements of a sequence are laid end to end along
    it

match Pad: negative pads cut
(float[N, 6, 4] x) => (float[] y) <int64[6] p = {0, -1, 0, 0, -2, 0}> { y = Pad(x, p) }
x[a=N (1 + b=3 + c=2) d=4]
-> y[a b d]

match Pad: cut on one side, padded on the other
(float[N, 6, 4] x) => (float[] y) <int64[6] p = {0, -2, 0, 0, 3, 0}> { y = Pad(x, p) }
x[a=N (b=2 + c=4) d=4]
-> y[a (c + e=3) d]

refuse Pad: all of it is cut
(float[N, 4] x) => (float[] y) <int64[4] p = {0, -3, 0, -1}> { y = Pad(x, p) }
x[a=N b=4!]
-> y[a c=0!]
frozen b c: Pad 'Pad:y': it is padded (constant)
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_axes(case: Case) -> None:
    check_case(case)
