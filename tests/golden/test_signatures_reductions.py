"""Golden cases of poolings, reductions and selections: what is summed, what is compared by position."""

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match AveragePool: window over space
(float[N, 4, 8, 8] x) => (float[] y) { y = AveragePool<kernel_shape = [2, 2]>(x) }
x[a=N b=4 c=8! d=8!]
-> y[a b e=7! f=7!]
frozen c d e f: AveragePool 'AveragePool:y': the window of a pooling slides over it

match AveragePool: a window of one element in one dimension
(float[N, 1, 8, 6] x) => (float[] y) { y = AveragePool<kernel_shape = [2, 1], strides = [2, 1]>(x) }
x[a=N 1 b=8! c=6]
-> y[a 1 d=4! c]
frozen b d: AveragePool 'AveragePool:y': the window of a pooling slides over it

refuse AveragePool: a window of one element that jumps
(float[N, 4, 8, 6] x) => (float[] y) { y = AveragePool<kernel_shape = [2, 1], strides = [2, 2]>(x) }
x[a=N b=4 c=8! d=6!]
-> y[a b e=4! f=3!]
frozen c d e f: AveragePool 'AveragePool:y': the window of a pooling slides over it

match MaxPool: window over space
(float[N, 4, 8] x) => (float[] y) { y = MaxPool<kernel_shape = [2], strides = [2]>(x) }
x[a=N b=4 c=8!]
-> y[a b d=4!]
frozen c d: MaxPool 'MaxPool:y': the window of a pooling slides over it

refuse MaxPool: indices of the maxima
(float[N, 4, 8] x) => (float[] y, int64[] where) { y, where = MaxPool<kernel_shape = [2], strides = [2]>(x) }
x[a=N b=4! c=8!]
-> y[d=N e=4! f=4!] where[g=N h=4! i=4!]
frozen a b c d e f g h i: MaxPool 'MaxPool:y': the indices of the maxima count channels

match LpPool: window over space
(float[N, 4, 8] x) => (float[] y) { y = LpPool<kernel_shape = [2]>(x) }
x[a=N b=4 c=8!]
-> y[a b d=7!]
frozen c d: LpPool 'LpPool:y': the window of a pooling slides over it

match GlobalAveragePool: statistics over space
(float[N, 4, 8, 6] x) => (float[] y) { y = GlobalAveragePool(x) }
x[a=N b=4 c=8 d=6]
-> y[a b 1 1]

match GlobalMaxPool: statistics over space
(float[N, 4, 8] x) => (float[] y) { y = GlobalMaxPool(x) }
x[a=N b=4 c=8]
-> y[a b 1]

match GlobalLpPool: statistics over space
(float[N, 4, 8] x) => (float[] y) { y = GlobalLpPool(x) }
x[a=N b=4 c=8]
-> y[a b 1]

match ReduceSum: axes as attribute [opset 11]
(float[N, 4, 8] x) => (float[] y) { y = ReduceSum<axes = [1], keepdims = 0>(x) }
x[a=N b=4 c=8]
-> y[a c]

match ReduceSum: axes as operand
(float[N, 4, 8] x) => (float[] y) <int64[1] axes = {-1}> { y = ReduceSum(x, axes) }
x[a=N b=4 c=8]
-> y[a b 1]

match ReduceSum: all axes
(float[N, 4, 8] x) => (float[] y) { y = ReduceSum<keepdims = 0>(x) }
x[a=N b=4 c=8]
-> y[]

match ReduceSum: no axes and nothing to do
(float[N, 4, 8] x) => (float[] y) { y = ReduceSum<noop_with_empty_axes = 1>(x) }
x[a=N b=4 c=8]
-> y[a b c]

refuse ReduceSum: axes computed at run time
(float[N, 4, 8] x, int64[1] axes) => (float[] y) { y = ReduceSum(x, axes) }
x[a=N b=4! c=8!] axes[1]
-> y[?]
frozen a b c: ReduceSum 'ReduceSum:y': axes (operand 1) is computed at run time

match ReduceMean: axes as attribute [opset 13]
(float[N, 4, 8] x) => (float[] y) { y = ReduceMean<axes = [1]>(x) }
x[a=N b=4 c=8]
-> y[a 1 c]

match ReduceMean: axes as operand
(float[N, 4, 8] x) => (float[] y) <int64[2] axes = {1, 2}> { y = ReduceMean<keepdims = 0>(x, axes) }
x[a=N b=4 c=8]
-> y[a]

refuse ReduceMean: axes computed at run time
(float[N, 4, 8] x, int64[1] axes) => (float[] y) { y = ReduceMean(x, axes) }
x[a=N b=4! c=8!] axes[1]
-> y[?]
frozen a b c: ReduceMean 'ReduceMean:y': axes (operand 1) is computed at run time

match ReduceMax: over channels
(float[N, 4, 8] x) => (float[] y) <int64[1] axes = {1}> { y = ReduceMax(x, axes) }
x[a=N b=4 c=8]
-> y[a 1 c]

refuse ReduceMax: axes computed at run time
(float[N, 4, 8] x, int64[1] axes) => (float[] y) { y = ReduceMax(x, axes) }
x[a=N b=4! c=8!] axes[1]
-> y[?]
frozen a b c: ReduceMax 'ReduceMax:y': axes (operand 1) is computed at run time

match ReduceMin: over channels
(float[N, 4, 8] x) => (float[] y) <int64[1] axes = {1}> { y = ReduceMin<keepdims = 0>(x, axes) }
x[a=N b=4 c=8]
-> y[a c]

refuse ReduceMin: axes computed at run time
(float[N, 4, 8] x, int64[1] axes) => (float[] y) { y = ReduceMin(x, axes) }
x[a=N b=4! c=8!] axes[1]
-> y[?]
frozen a b c: ReduceMin 'ReduceMin:y': axes (operand 1) is computed at run time

match ReduceProd: over channels
(float[N, 4, 8] x) => (float[] y) <int64[1] axes = {1}> { y = ReduceProd(x, axes) }
x[a=N b=4 c=8]
-> y[a 1 c]

refuse ReduceProd: axes computed at run time
(float[N, 4, 8] x, int64[1] axes) => (float[] y) { y = ReduceProd(x, axes) }
x[a=N b=4! c=8!] axes[1]
-> y[?]
frozen a b c: ReduceProd 'ReduceProd:y': axes (operand 1) is computed at run time

match ReduceL1: contracts
(float[N, 4, 8] x) => (float[] y) <int64[1] axes = {1}> { y = ReduceL1(x, axes) }
x[a=N b=4 c=8]
-> y[a 1 c]

refuse ReduceL1: axes computed at run time
(float[N, 4, 8] x, int64[1] axes) => (float[] y) { y = ReduceL1(x, axes) }
x[a=N b=4! c=8!] axes[1]
-> y[?]
frozen a b c: ReduceL1 'ReduceL1:y': axes (operand 1) is computed at run time

match ReduceL2: contracts
(float[N, 4, 8] x) => (float[] y) <int64[1] axes = {1}> { y = ReduceL2(x, axes) }
x[a=N b=4 c=8]
-> y[a 1 c]

refuse ReduceL2: axes computed at run time
(float[N, 4, 8] x, int64[1] axes) => (float[] y) { y = ReduceL2(x, axes) }
x[a=N b=4! c=8!] axes[1]
-> y[?]
frozen a b c: ReduceL2 'ReduceL2:y': axes (operand 1) is computed at run time

match ReduceSumSquare: contracts
(float[N, 4, 8] x) => (float[] y) <int64[1] axes = {1}> { y = ReduceSumSquare(x, axes) }
x[a=N b=4 c=8]
-> y[a 1 c]

refuse ReduceSumSquare: axes computed at run time
(float[N, 4, 8] x, int64[1] axes) => (float[] y) { y = ReduceSumSquare(x, axes) }
x[a=N b=4! c=8!] axes[1]
-> y[?]
frozen a b c: ReduceSumSquare 'ReduceSumSquare:y': axes (operand 1) is computed at run time

match ReduceLogSum: over channels
(float[N, 4, 8] x) => (float[] y) <int64[1] axes = {1}> { p = Exp(x) y = ReduceLogSum(p, axes) }
x[a=N b=4 c=8]
-> p[a b c] y[a 1 c]

refuse ReduceLogSum: axes computed at run time
(float[N, 4, 8] x, int64[1] axes) => (float[] y) { y = ReduceLogSum(x, axes) }
x[a=N b=4! c=8!] axes[1]
-> y[?]
frozen a b c: ReduceLogSum 'ReduceLogSum:y': axes (operand 1) is computed at run time

match ReduceLogSumExp: over channels
(float[N, 4, 8] x) => (float[] y) <int64[1] axes = {1}> { y = ReduceLogSumExp(x, axes) }
x[a=N b=4 c=8]
-> y[a 1 c]

refuse ReduceLogSumExp: axes computed at run time
(float[N, 4, 8] x, int64[1] axes) => (float[] y) { y = ReduceLogSumExp(x, axes) }
x[a=N b=4! c=8!] axes[1]
-> y[?]
frozen a b c: ReduceLogSumExp 'ReduceLogSumExp:y': axes (operand 1) is computed at run time

match ArgMax: over classes without keeping them
(float[N, 4, 8] x) => (int64[] y) { y = ArgMax<axis = 1, keepdims = 0>(x) }
x[a=N b=4! c=8]
-> y[a c]
frozen b: ArgMax 'ArgMax:y': the positions of its extrema are the result

refuse ArgMax: the only static axis
(float[N, 4] x) => (int64[] y) { y = ArgMax<axis = -1>(x) }
x[a=N b=4!]
-> y[a 1]
frozen b: ArgMax 'ArgMax:y': the positions of its extrema are the result

match ArgMin: over channels
(float[N, 4, 8] x) => (int64[] y) { y = ArgMin<axis = 2>(x) }
x[a=N b=4 c=8!]
-> y[a b 1]
frozen c: ArgMin 'ArgMin:y': the positions of its extrema are the result

refuse ArgMin: the only static axis
(float[N, 4] x) => (int64[] y) { y = ArgMin<axis = 1>(x) }
x[a=N b=4!]
-> y[a 1]
frozen b: ArgMin 'ArgMin:y': the positions of its extrema are the result

match TopK: last axis is sorted
(float[N, 4, 8] x) => (float[] y, int64[] where) <int64[1] k = {3}> { y, where = TopK(x, k) }
x[a=N b=4 c=8!]
-> y[a b d=3!] where[a b d]
frozen c d: TopK 'TopK:y': it is sorted

refuse TopK: the channels are sorted
(float[N, 4] x) => (float[] y, int64[] where) <int64[1] k = {3}> { y, where = TopK<axis = 1>(x, k) }
x[a=N b=4!]
-> y[a c=3!] where[a c]
frozen b c: TopK 'TopK:y': it is sorted

match Softmax: last axis
(float[N, 4, 8] x) => (float[] y) { y = Softmax(x) }
x[a=N b=4 c=8!]
-> y[a b c]
frozen c: Softmax 'Softmax:y': a softmax is taken over it

match Softmax: over channels
(float[N, 4, 8] x) => (float[] y) { y = Softmax<axis = 1>(x) }
x[a=N b=4! c=8]
-> y[a b c]
frozen b: Softmax 'Softmax:y': a softmax is taken over it

refuse Softmax: all axes from the first before opset 13 [opset 11]
(float[N, 4, 8] x) => (float[] y) { y = Softmax(x) }
x[a=N b=4! c=8!]
-> y[a b c]
frozen b c: Softmax 'Softmax:y': a softmax is taken over it

match LogSoftmax: last axis
(float[N, 4, 8] x) => (float[] y) { y = LogSoftmax(x) }
x[a=N b=4 c=8!]
-> y[a b c]
frozen c: LogSoftmax 'LogSoftmax:y': a softmax is taken over it

refuse LogSoftmax: all axes from the first before opset 13 [opset 12]
(float[N, 4, 8] x) => (float[] y) { y = LogSoftmax(x) }
x[a=N b=4! c=8!]
-> y[a b c]
frozen b c: LogSoftmax 'LogSoftmax:y': a softmax is taken over it

match Hardmax: last axis
(float[N, 4, 8] x) => (float[] y) { y = Hardmax(x) }
x[a=N b=4 c=8!]
-> y[a b c]
frozen c: Hardmax 'Hardmax:y': a softmax is taken over it

refuse Hardmax: all axes from the first before opset 13 [opset 11]
(float[N, 4, 8] x) => (float[] y) { y = Hardmax(x) }
x[a=N b=4! c=8!]
-> y[a b c]
frozen b c: Hardmax 'Hardmax:y': a softmax is taken over it

match CumSum: along positions
(float[N, 8, 4] x) => (float[] y) <int64 axis = {1}> { y = CumSum(x, axis) }
x[a=N b=8! c=4]
-> y[a b c]
frozen b: CumSum 'CumSum:y': a running sum is taken over it

refuse CumSum: axis computed at run time
(float[N, 8, 4] x, int64 axis) => (float[] y) { y = CumSum(x, axis) }
x[a=N b=8! c=4!] axis[]
-> y[d=N e=8! f=4!]
frozen a b c d e f: CumSum 'CumSum:y': axis (operand 1) is computed at run time

match Dropout: identity with a mask
(float[N, 4] x) => (float[] y, bool[] mask) { y, mask = Dropout(x) }
x[a=N b=4]
-> y[a b] mask[a b]

match Dropout: ratio as operand
(float[N, 4] x) => (float[] y) <float ratio = {0.25}> { y = Dropout(x, ratio) }
x[a=N b=4]
-> y[a b]

match TopK: the largest alone, nothing reads its position
(float[N, 4, 8] x) => (float[] y) <int64[1] k = {1}> { y, i = TopK<axis = 1>(x, k) }
x[a=N b=4 c=8]
-> y[a 1 c] i[a 1 c]

refuse TopK: the largest alone, its position is read
(float[N, 4] x) => (float[] y, int64[] i) <int64[1] k = {1}> { y, i = TopK<axis = 1>(x, k) }
x[a=N b=4!]
-> y[a 1] i[a 1]
frozen b: TopK 'TopK:y': it is sorted

refuse TopK: the two largest
(float[N, 4] x) => (float[] y) <int64[1] k = {2}> { y, i = TopK<axis = 1>(x, k) }
x[a=N b=4!]
-> y[a c=2!] i[a c]
frozen b c: TopK 'TopK:y': it is sorted

match MaxPool: positions that lead back through MaxUnpool
(float[N, 4, 8, 8] x) => (float[] y) <int64[4] s = {1, 4, 8, 8}>
{ p, i = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
y = MaxUnpool<kernel_shape = [2, 2], strides = [2, 2]>(p, i) }
x[a=N b=4 c=8! d=8!]
-> p[a b e=4! f=4!] i[a b e f] y[a b g=8! h=8!]
frozen c d e f: MaxPool 'MaxPool:p': the window of a pooling slides over it
frozen e f g h: MaxUnpool 'MaxUnpool:y': the window of a pooling slides over it

match MaxUnpool: a shape that is spelled out [not run: onnx infers no shape for it]
(float[1, 4, 8, 8] x) => (float[] y) <int64[4] s = {1, 4, 8, 8}>
{ p, i = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
y = MaxUnpool<kernel_shape = [2, 2], strides = [2, 2]>(p, i, s) }
x[1 a=4 b=8! c=8!]
-> p[1 a d=4! e=4!] i[1 a d e] y[1 a f=8! g=8!]
frozen b c d e: MaxPool 'MaxPool:p': the window of a pooling slides over it
frozen d e f g: MaxUnpool 'MaxUnpool:y': the window of a pooling slides over it

refuse MaxUnpool: a shape that run time tells
(float[1, 4, 8, 8] x, int64[4] s) => (float[] y)
{ p, i = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
y = MaxUnpool<kernel_shape = [2, 2], strides = [2, 2]>(p, i, s) }
x[1 a=4! b=8! c=8!] s[d=4!]
-> p[1 a e=4! f=4!] i[1 a e f] y[?]
frozen a d e f: MaxUnpool 'MaxUnpool:y': its shape is computed at run time
frozen b c e f: MaxPool 'MaxPool:p': the window of a pooling slides over it
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_axes(case: Case) -> None:
    check_case(case)
