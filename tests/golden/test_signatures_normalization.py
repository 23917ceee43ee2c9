"""Golden cases of normalizations: which statistics are taken over which axis."""

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

CASES = parse_cases(
    """
match BatchNormalization: channels
(float[N, 4, 8] x) => (float[] y) <float[4] g, float[4] b, float[4] m, float[4] var>
{ y = BatchNormalization(x, g, b, m, var) }
x[a=N b=4 c=8] g[b] b[b] m[b] var[b]
-> y[a b c]
group b:0 mlp 4: b:0 g:0 m:0 var:0

match BatchNormalization: rank two
(float[N, 4] x) => (float[] y) <float[4] g, float[4] b, float[4] m, float[4] var>
{ y = BatchNormalization(x, g, b, m, var) }
x[a=N b=4] g[b] b[b] m[b] var[b]
-> y[a b]
group b:0 mlp 4: b:0 g:0 m:0 var:0

match BatchNormalization: a vector has one channel [not run: no kernel]
(float[4] x) => (float[] y) <float[1] g, float[1] b, float[1] m, float[1] var>
{ y = BatchNormalization(x, g, b, m, var) }
x[a=4] g[1] b[1] m[1] var[1]
-> y[a]

match BatchNormalization: before training mode was an attribute [opset 9]
(float[N, 4, 8] x) => (float[] y) <float[4] g, float[4] b, float[4] m, float[4] var>
{ y = BatchNormalization(x, g, b, m, var) }
x[a=N b=4 c=8] g[b] b[b] m[b] var[b]
-> y[a b c]
group b:0 mlp 4: b:0 g:0 m:0 var:0

match BatchNormalization: training mode takes its statistics over the other axes
(float[N, 4, 8] x) => (float[] y, float[] mean, float[] variance) <float[4] g, float[4] b, float[4] m, float[4] var>
{ y, mean, variance = BatchNormalization<training_mode = 1>(x, g, b, m, var) }
x[a=N b=4 c=8] g[b] b[b] m[b] var[b]
-> y[a b c] mean[b] variance[b]
group b:0 mlp 4: b:0 g:0 m:0 var:0

refuse BatchNormalization: training mode before it was an attribute [opset 9] [not run: no kernel]
(float[N, 4, 8] x) => (float[] y, float[] p) <float[4] g, float[4] b, float[4] m, float[4] var>
{ y, p = BatchNormalization(x, g, b, m, var) }
x[a=N b=4! c=8!] g[d=4!] b[e=4!] m[f=4!] var[g=4!]
-> y[h=N i=4! j=8!] p[?]
frozen a b c d e f g h i j: BatchNormalization 'BatchNormalization:y': training mode

match InstanceNormalization: space is free to go
(float[N, 4, 8] x) => (float[] y) <float[4] g, float[4] b> { y = InstanceNormalization(x, g, b) }
x[a=N b=4 c=8] g[b] b[b]
-> y[a b c]
group b:0 mlp 4: b:0 g:0

match LayerNormalization: last axis
(float[N, S, 4] x) => (float[] y) <float[4] g, float[4] b> { y = LayerNormalization(x, g, b) }
x[a=N b=S c=4] g[c] b[c]
-> y[a b c]
group b:0 hidden 4: b:0 g:0 (inexact)

match LayerNormalization: two axes without bias
(float[N, 3, 4] x) => (float[] y) <float[3, 4] g> { y = LayerNormalization<axis = 1>(x, g) }
x[a=N b=3 c=4] g[b c]
-> y[a b c]
group g:0 hidden 3: g:0 (inexact)
group g:1 hidden 4: g:1 (inexact)

match LayerNormalization: statistics are results
(float[N, 3, 4] x) => (float[] y, float[] mean, float[] deviation) <float[4] g>
{ y, mean, deviation = LayerNormalization<axis = -1>(x, g) }
x[a=N b=3 c=4] g[c]
-> y[a b c] mean[a b 1] deviation[a b 1]
group g:0 hidden 4: g:0 (inexact)

match LayerNormalization: scale broadcasts
(float[N, 3, 4] x) => (float[] y) <float[1] g> { y = LayerNormalization<axis = 1>(x, g) }
x[a=N b=3 c=4] g[1]
-> y[a b c]

refuse LayerNormalization: axis outside the rank [not run: malformed]
(float[N, 4] x) => (float[] y) <float[4] g> { y = LayerNormalization<axis = 2>(x, g) }
x[a=N b=4!] g[c=4!]
-> y[d=N e=4!]
frozen a b c d e: LayerNormalization 'LayerNormalization:y': axis=2 is outside rank 2

match RMSNormalization: last axis [opset 23]
(float[N, S, 4] x) => (float[] y) <float[4] g> { y = RMSNormalization(x, g) }
x[a=N b=S c=4] g[c]
-> y[a b c]
group g:0 hidden 4: g:0 (inexact)

match SimplifiedLayerNormalization: last axis [opset 13] [not run: the checker does not know it]
(float[N, S, 4] x) => (float[N, S, 4] y) <float[4] g> { y = SimplifiedLayerNormalization(x, g) }
x[a=N b=S c=4] g[c]
-> y[a b c]
group g:0 hidden 4: g:0 (inexact)

match GroupNormalization: scale for every channel [opset 21]
(float[N, 6, 8] x) => (float[N, 6, 8] y) <float[6] g, float[6] b> { y = GroupNormalization<num_groups = 2>(x, g, b) }
x[a=N (b=2 c=3) d=8] g[(b c)] b[(b c)]
-> y[a (b c) d]
group b:0 mlp 2: b:0 g:0
group b:0_1 hidden 3: b:0 g:0 (inexact)

match GroupNormalization: scale for every group [opset 18] [not run: deprecated]
(float[N, 6, 8] x) => (float[N, 6, 8] y) <float[2] g, float[2] b> { y = GroupNormalization<num_groups = 2>(x, g, b) }
x[a=N (b=2 c=3) d=8] g[b] b[b]
-> y[a (b c) d]
group b:0 mlp 2: b:0 g:0

match GroupNormalization: one group for all [opset 21]
(float[N, 6, 8] x) => (float[N, 6, 8] y) <float[6] g, float[6] b> { y = GroupNormalization<num_groups = 1>(x, g, b) }
x[a=N b=6 c=8] g[b] b[b]
-> y[a b c]
group b:0 hidden 6: b:0 g:0 (inexact)

refuse GroupNormalization: channels are not a multiple [opset 21] [not run: malformed]
(float[N, 5, 8] x) => (float[] y) <float[5] g, float[5] b> { y = GroupNormalization<num_groups = 2>(x, g, b) }
x[a=N b=5! c=8!] g[d=5!] b[e=5!]
-> y[?]
frozen a b c d e: GroupNormalization 'GroupNormalization:y': size 5 is not a multiple of 2

match LpNormalization: over channels
(float[N, 4, 8] x) => (float[] y) { y = LpNormalization<axis = 1>(x) }
x[a=N b=4 c=8]
-> y[a b c]

match MeanVarianceNormalization: over all but the channels [not run: no shape inference]
(float[N, 4, 8, 8] x) => (float[N, 4, 8, 8] y) { y = MeanVarianceNormalization(x) }
x[a=N b=4 c=8 d=8]
-> y[a b c d]

match MeanVarianceNormalization: over channels
(float[N, 4, 8, 8] x) => (float[N, 4, 8, 8] y) { y = MeanVarianceNormalization<axes = [1]>(x) }
x[a=N b=4 c=8 d=8]
-> y[a b c d]

match LRN: neighboring channels
(float[N, 4, 8, 8] x) => (float[] y) { y = LRN<size = 3>(x) }
x[a=N b=4 c=8 d=8]
-> y[a b c d]
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_axes(case: Case) -> None:
    check_case(case)
