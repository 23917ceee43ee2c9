"""Golden cases of ATen, continued: sums of products, statistics, orders, windows, and what is looked up by index."""

import pytest
import torch

from irprune.torch import prune
from tests.golden.helpers.aten import AtenCase, found_in, parse_aten_cases

CASES = parse_aten_cases(
    """
match aten::added_product: batches are summed
lambda x, y, z: torch.addbmm(z, x, y)
2 3 4, 2 4 5, 3 5
arguments_0[a=2 b=3 c=4] arguments_1[a c d=5] arguments_2[b d]
-> addbmm[b d]

match aten::added_product: a vector
lambda x, y, z: torch.addmv(z, x, y)
2 3, 3, 2
arguments_0[a=2 b=3] arguments_1[b] arguments_2[a]
-> addmv[a]

match aten::added_product: an outer product
lambda x, y, z: torch.addr(z, x, y)
2, 3, 2 3
arguments_0[a=2] arguments_1[b=3] arguments_2[a b]
-> addr[a b]

match aten::bilinear: a product of three
lambda x, y, w, b: F.bilinear(x, y, w, b)
2 3, 2 4, 5 3 4, 5
arguments_0[a=2 b=3] arguments_1[a c=4] arguments_2[d=5 b c] arguments_3[d]
-> bilinear[a d]

refuse aten::bilinear: a softmax behind it
lambda x, y, w: F.bilinear(x, y, w).softmax(-1)
2 3, 2 4, 5 3 4
arguments_0[a=2 b=3] arguments_1[a c=4] arguments_2[d=5! b c]
-> bilinear[a d] softmax[a d]
frozen d: Softmax 'softmax': a softmax is taken over it

match aten::cdist: distances
lambda x, y: torch.cdist(x, y)
1 2 3, 1 4 3
arguments_0[1 a=2 b=3] arguments_1[1 c=4 b]
-> cdist[1 a c]

refuse aten::cdist: a batch that is broadcast
lambda x, y: torch.cdist(x, y)
2 3, 5 4 3
arguments_0[a=2! b=3!] arguments_1[c=5! d=4! e=3!]
-> cdist[f=5! g=2! h=4!]
frozen a b c d e f g h: aten::cdist 'cdist': the batch is broadcast

match aten::native_group_norm: the number of channels follows
lambda x, w, b: torch.native_group_norm(x, w, b, 2, 4, 3, 2, 1e-5)[0]
2 4 3, 4, 4
arguments_0[a=2! (b=2 c=2) d=3!] arguments_1[(b c)] arguments_2[(b c)]
-> getitem[a (b c) d] getitem_1[a b] getitem_2[a b]
frozen a d: aten::native_group_norm 'native_group_norm': the call counts it

refuse aten::native_group_norm: no channels to spare
lambda x: torch.native_group_norm(x.softmax(1), None, None, 2, 4, 3, 2, 1e-5)[0]
2 4 3
arguments_0[a=2! (b=2! c=2!) d=3!]
-> softmax[a (b c) d] getitem[a (b c) d] getitem_1[a b] getitem_2[a b]
frozen a d: aten::native_group_norm 'native_group_norm': the call counts it
frozen b c: Softmax 'softmax': a softmax is taken over it

match aten::statistics: two of them
lambda x: torch.var_mean(x, 1)[0]
2 3 4
arguments_0[a=2 b=3 c=4]
-> getitem[a c] getitem_1[a c]

match LayerNormalization: its statistics are results as well
lambda x, w: torch.native_layer_norm(x, (3,), w, None, 1e-5)[0]
2 3, 3
arguments_0[a=2 b=3] arguments_1[b]
-> getitem[a b] getitem_1[a 1] getitem_2[a 1]

match aten::extremum: a median whose position nothing reads
lambda x: x.median(1)[0]
2 3 4
arguments_0[a=2 b=3 c=4]
-> getitem[a c] getitem_1[a c]

match aten::ordered: a running maximum
lambda x: x.cummax(1)[0]
2 3 4
arguments_0[a=2 b=3! c=4]
-> getitem[a b c] getitem_1[a b c]
frozen b: aten::ordered 'cummax': the order of its elements matters

match aten::ordered: a cross product
lambda x, y: torch.linalg.cross(x, y, dim=1)
2 3 4, 2 3 1
arguments_0[a=2 b=3! c=4] arguments_1[a b 1]
-> linalg_cross[a b c]
frozen b: aten::ordered 'linalg_cross': the order of its elements matters

refuse aten::ordered: its own axis
lambda x: x.cummin(0)[0]
3
arguments_0[a=3!]
-> getitem[a] getitem_1[a]
frozen a: aten::ordered 'cummin': the order of its elements matters

match aten::bucketize: bounds are compared with all
lambda x, y: torch.bucketize(x, torch.tensor([0.0, 1.0])) * 1.0 * y
2 3, 3
arguments_0[a=2 b=3] arguments_1[b] lifted_tensor_0[c=2!]
-> lift_fresh_copy[c] detach_[c] bucketize[a b] mul[a b] mul_1[a b]
frozen c: aten::bucketize 'bucketize': it bounds the buckets of a search

refuse aten::bucketize: bounds are not channels
lambda x, y: torch.bucketize(x.softmax(0), y) * 1.0
2, 3
arguments_0[a=2!] arguments_1[b=3!]
-> softmax[a] bucketize[a] mul[a]
frozen a: Softmax 'softmax': a softmax is taken over it
frozen b: aten::bucketize 'bucketize': it bounds the buckets of a search

match aten::fourier: the others are carried
lambda x: torch.fft.rfft(x, dim=1).abs()
2 3 4
arguments_0[a=2 b=3! c=4]
-> _fft_r2c[a d=2! c] abs_1[a d c]
frozen b d: aten::fourier '_fft_r2c': it becomes frequencies

refuse aten::fourier: positions and frequencies
lambda x: torch.fft.fft(x).real
3
arguments_0[a=3!]
-> _fft_r2c[b=3!] real[b]
frozen a b: aten::fourier '_fft_r2c': it becomes frequencies

match aten::view_as_complex: pairs
lambda x, y: torch.view_as_real(torch.view_as_complex(x) * torch.view_as_complex(y))
2 3 2, 3 2
arguments_0[a=2 b=3 c=2!] arguments_1[b d=2!]
-> view_as_complex[a b] view_as_complex_1[b] mul[a b] view_as_real[a b e=2!]
frozen c: aten::view_as_complex 'view_as_complex': order or identity matters
frozen d: aten::view_as_complex 'view_as_complex_1': order or identity matters
frozen e: aten::view_as_real 'view_as_real': order or identity matters

refuse aten::view_as_complex: nothing but the pair
lambda x: torch.view_as_complex(x).abs()
2
arguments_0[a=2!]
-> view_as_complex[] abs_1[]
frozen a: aten::view_as_complex 'view_as_complex': order or identity matters

match aten::view_as_real: pairs
lambda x, y: torch.view_as_real(torch.complex(x, y))
2 3, 3
arguments_0[a=2 b=3] arguments_1[b]
-> complex_1[a b] view_as_real[a b c=2!]
frozen c: aten::view_as_real 'view_as_real': order or identity matters

refuse aten::view_as_real: of what is sorted
lambda x: torch.view_as_real(torch.complex(x.softmax(0), x))
3
arguments_0[a=3!]
-> softmax[a] complex_1[a] view_as_real[a b=2!]
frozen a: Softmax 'softmax': a softmax is taken over it
frozen b: aten::view_as_real 'view_as_real': order or identity matters

match aten::unpool: channels
lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)
1 3 4 4
arguments_0[1 a=3 b=4! c=4!]
-> getitem[1 a d=2! e=2!] getitem_1[1 a d e] max_unpool2d[1 a f=4! g=4!]
frozen b c d e: aten::pool 'max_pool2d_with_indices': the window of a pooling slides over it
frozen d e f g: aten::unpool 'max_unpool2d': the window of a pooling slides over it

refuse aten::unpool: no batch
lambda x: F.max_unpool2d(x, torch.zeros(3, 2, 2, dtype=torch.long), 2)
3 2 2
arguments_0[a=3! b=2! c=2!]
-> zeros[d=3! e=2! f=2!] max_unpool2d[g=3! h=4! i=4!]
frozen a b c d e f g h i: torch::max_unpool2d 'max_unpool2d': the operand has no batch (rank 3)

match aten::im2col: channels are outside of the window
lambda x: F.unfold(x, (2, 1))
1 3 4 4
arguments_0[1 a=3 b=4! c=4!]
-> im2col[1 (a d=2!) e=12!]
frozen b c d e: aten::im2col 'im2col': a window slides over it

refuse aten::im2col: no batch
lambda x: F.unfold(x, 2)
3 4 4
arguments_0[a=3! b=4! c=4!]
-> im2col[d=12! e=9!]
frozen a b c d e: torch::im2col 'im2col': the operand has no batch (rank 3)

match aten::col2im: channels are outside of the window
lambda x: F.fold(x, (3, 3), 2)
1 8 4
arguments_0[1 (a=2 b=4!) c=4!]
-> col2im[1 a d=3!]
frozen b c d: aten::col2im 'col2im': a window slides over it

refuse aten::col2im: no batch
lambda x: F.fold(x, (3, 3), 2)
8 4
arguments_0[a=8! b=4!]
-> col2im[c=2! d=3! e=3!]
frozen a b c d e: torch::col2im 'col2im': the operand has no batch (rank 2)

match aten::unfold: the others are carried
lambda x: x.unfold(1, 2, 1)
2 5 3
arguments_0[a=2 b=5! c=3]
-> unfold[a d=4! c e=2!]
frozen b d e: aten::unfold 'unfold': a window slides over it

refuse aten::unfold: its own axis
lambda x: x.unfold(0, 2, 1)
5
arguments_0[a=5!]
-> unfold[b=4! c=2!]
frozen a b c: aten::unfold 'unfold': a window slides over it

match aten::index_put: points of one dimension
lambda x, y: x.index_put((torch.tensor([0, 1]),), y)
3 4, 2 4
arguments_0[a=3! b=4] arguments_1[c=2! b]
-> lift_fresh_copy[c] detach_[c] index_put[a b]
frozen a c: aten::index_put 'index_put': it is looked up by index

match aten::index_put: a row for all points
lambda x, y: torch.ops.aten.index_put(x, [None, torch.tensor([0, 1])], y, True)
2 3 4, 4
arguments_0[a=2 b=3! c=4] arguments_1[c]
-> lift_fresh_copy[d=2!] detach_[d] index_put[a b c]
frozen b d: aten::index_put 'index_put': it is looked up by index

match aten::elementwise: a mask of the whole tensor
lambda x, y: x.index_put((y > 0,), torch.tensor(0.0))
2 3, 2 3
arguments_0[a=2 b=3] arguments_1[a b]
-> gt[a b] lift_fresh_copy[] detach_[] index_put[a b]

refuse aten::index_put: a mask of rows
lambda x, y: x.index_put((y > 0,), torch.tensor(0.0))
2 3, 2
arguments_0[a=2! b=3!] arguments_1[c=2!]
-> gt[c] lift_fresh_copy[] detach_[] index_put[d=2! e=3!]
frozen a b c d e: torch::index_put 'index_put': a mask picks as many elements as are true

refuse aten::index_put: points of all dimensions
lambda x: x.index_put((torch.tensor([0, 1]), torch.tensor([0, 1])), torch.tensor(1.0))
2 3
arguments_0[a=2! b=3!]
-> lift_fresh_copy[c=2!] detach_[c] lift_fresh_copy_1[c] detach__1[c] lift_fresh_copy_2[] detach__2[]
    index_put[a b]
frozen a b c: aten::index_put 'index_put': it is looked up by index

match aten::index_write: rows are added
lambda x, y: x.index_add(0, torch.tensor([0, 1]), y)
3 4, 2 4
arguments_0[a=3! b=4] arguments_1[c=2! b]
-> lift_fresh_copy[c] detach_[c] index_add[a b]
frozen a c: aten::index_write 'index_add': it is looked up by index

match aten::index_write: rows of a number
lambda x: x.index_fill(0, torch.tensor([0, 1]), 1.0)
3 4
arguments_0[a=3! b=4]
-> lift_fresh_copy[c=2!] detach_[c] index_fill[a b]
frozen a c: aten::index_write 'index_fill': it is looked up by index

refuse aten::index_write: its own axis
lambda x, y: x.index_copy(0, torch.tensor([0, 1]), y)
3, 2
arguments_0[a=3!] arguments_1[b=2!]
-> lift_fresh_copy[b] detach_[b] index_copy[a]
frozen a b: aten::index_write 'index_copy': it is looked up by index

match aten::embedding_bag: the features of a table
lambda w: F.embedding_bag(torch.tensor([[0, 1], [2, 0]]), w)
3 4
arguments_0[a=3! b=4]
-> lift_fresh_copy[c=2! d=2!] detach_[c d] reshape[(c d)] getitem[e=2! b] getitem_1[f=4!] getitem_2[g=2!]
    getitem_3[h=2!]
frozen a c d e: aten::embedding_bag 'embedding_bag': it is looked up by index
frozen f g h: aten::embedding_bag 'embedding_bag': its result holds no channels

refuse aten::embedding_bag: bags in a softmax
lambda w: F.embedding_bag(torch.tensor([[0, 1], [2, 0]]), w.softmax(1))
3 4
arguments_0[a=3! b=4!]
-> lift_fresh_copy[c=2! d=2!] detach_[c d] softmax[a b] reshape[(c d)] getitem[e=2! b] getitem_1[f=4!]
    getitem_2[g=2!] getitem_3[h=2!]
frozen a c d e: aten::embedding_bag 'embedding_bag': it is looked up by index
frozen b: Softmax 'softmax': a softmax is taken over it
frozen f g h: aten::embedding_bag 'embedding_bag': its result holds no channels

match aten::diagonal: the others are carried
lambda x: x.diagonal(0, 1, 2)
2 3 3
arguments_0[a=2 b=3! c=3!]
-> diagonal[a d=3!]
frozen b c d: aten::diagonal 'diagonal': a diagonal is cut out of it

refuse aten::diagonal: a trace
lambda x: x.diagonal().sum()
3 3
arguments_0[a=3! b=3!]
-> diagonal[c=3!] sum_1[]
frozen a b c: aten::diagonal 'diagonal': a diagonal is cut out of it

match ScatterElements: a number
lambda x: x.scatter(1, torch.zeros(2, 1, dtype=torch.long), 1.0)
2 3
arguments_0[a=2 b=3!]
-> zeros[c=2 1] scatter[a b]
frozen b: ScatterElements 'scatter': it is looked up by index

match Pad: mirrored
lambda x: torch.ops.aten.reflection_pad1d(x, (1, 1))
1 3 4
arguments_0[1 a=3 b=4!]
-> reflection_pad1d[1 a c=6!]
frozen b c: Pad 'reflection_pad1d': it is padded (reflect)
"""
)
MATCHES = [case for case in CASES if case.kind == "match"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_analysis_of_a_call(case: AtenCase) -> None:
    assert found_in(case) == case.expected


@pytest.mark.parametrize("case", MATCHES, ids=str)
def test_what_is_captured_computes_the_same(case: AtenCase) -> None:
    expected = case.function(*case.inputs())
    torch.testing.assert_close(case.program().module(*case.inputs()), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", MATCHES, ids=str)
def test_removals_are_equivalent_to_their_reference(case: AtenCase) -> None:
    result = prune(case.weighted(), ratio=0.5, criterion="random", allow_io=("*",), runtime=False)
    assert result.plan.groups
    assert result.report is not None and result.report.equivalence.ok
