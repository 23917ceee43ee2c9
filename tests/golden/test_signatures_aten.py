"""Golden cases of ATen: calls that are operators of ai.onnx under another name, and those that have their own."""

import pytest

from irprune.errors import TargetError
from irprune.signatures import OPERATORS
from irprune.torch import prune
from tests.golden.helpers.aten import AtenCase, found_in, parse_aten_cases
from tests.golden.test_signatures_aten_indexing import CASES as MORE_CASES

CASES = parse_aten_cases(
    """
match aten::linear: a bias
lambda x, w, b: F.linear(x, w, b)
2 3 4, 6 4, 6
arguments_0[a=2 b=3 c=4] arguments_1[d=6 c] arguments_2[d]
-> linear[a b d]

match aten::linear: a vector
lambda x, w: F.linear(x, w)
4, 6 4
arguments_0[a=4] arguments_1[b=6 a]
-> linear[b]

refuse aten::linear: the result is a graph output
lambda x, w: F.linear(x, w).argmax(-1)
2 4, 6 4
arguments_0[a=2 b=4] arguments_1[c=6! b]
-> linear[a c] argmax[a]
frozen c: ArgMax 'argmax': the positions of its extrema are the result

match aten::added_product: a broadcast addend
lambda x, y, z: torch.baddbmm(z, x, y)
2 3 4, 2 4 5, 3 1
arguments_0[a=2 b=3 c=4] arguments_1[a c d=5] arguments_2[b 1]
-> baddbmm[a b d]

refuse aten::added_product: a softmax behind it
lambda x, y, z: torch.baddbmm(z, x, y).softmax(-1)
2 3 4, 2 4 5, 5
arguments_0[a=2 b=3 c=4] arguments_1[a c d=5!] arguments_2[d]
-> baddbmm[a b d] softmax[a b d]
frozen d: Softmax 'softmax': a softmax is taken over it

match aten::elementwise: broadcasting
lambda x, y: torch.addcmul(x, y, y)
2 3 4, 4
arguments_0[a=2 b=3 c=4] arguments_1[c]
-> addcmul[a b c]

match aten::elementwise: in place
lambda x, y: (x * 1).add_(y).relu_()
2 3, 3
arguments_0[a=2 b=3] arguments_1[b]
-> mul[a b] add_[a b] relu_[a b]

refuse aten::elementwise: positions as the result
lambda x: torch.where(x > 0)[0]
2 3
arguments_0[a=2! b=3!]
-> gt[a b] getitem_2[c=u0] getitem_1[d=u0]
frozen a b c d: torch::where 'where': the result is not a broadcast of the operands

match aten::singular: as any other function
lambda x: x.abs().add(1).rsqrt()
2 3
arguments_0[a=2 b=3]
-> abs_1[a b] add[a b] rsqrt[a b]

refuse aten::singular: sorted
lambda x: x.rsqrt().sort()[0]
3
arguments_0[a=3!]
-> rsqrt[a] getitem[b=3!] getitem_1[b]
frozen a b: TopK 'sort': it is sorted

match aten::singular: zeros behind which are infinite, in a sum
lambda x, w: x.square().rsqrt() @ w
2 6, 6 3
arguments_0[a=2 b=6] arguments_1[b c=3]
-> square[a b] rsqrt[a b] matmul[a c]

match aten::singular: a negative power in a sum
lambda x, w: x.square().pow(-0.5) @ w
2 6, 6 3
arguments_0[a=2 b=6] arguments_1[b c=3]
-> square[a b] pow_1[a b] matmul[a c]

match aten::divided: divisors that are zero where they go, in a sum
lambda x, y, w: torch.div(x, y, rounding_mode="floor") @ w
2 6, 6, 6 3
arguments_0[a=2 b=6] arguments_1[b] arguments_2[b c=3]
-> div[a b] matmul[a c]

match aten::divided: broadcasting, with a mode
lambda x, y: torch.div(x, y.abs() + 1, rounding_mode="trunc")
2 3 4, 4
arguments_0[a=2 b=3 c=4] arguments_1[c]
-> abs_1[c] add[c] div[a b c]

match aten::divided: by a plain number
lambda x: torch.fmod(x, 2.5)
2 3
arguments_0[a=2 b=3]
-> fmod[a b]

refuse aten::divided: sorted
lambda x: x.floor_divide(2).sort()[0]
5
arguments_0[a=5!]
-> floor_divide[a] getitem[b=5!] getitem_1[b]
frozen a b: TopK 'sort': it is sorted

match aten::prelu: a slope a channel
lambda x, w: F.prelu(x, w)
2 3 4, 3
arguments_0[a=2 b=3 c=4] arguments_1[b]
-> prelu[a b c]

match aten::prelu: one slope
lambda x, w: F.prelu(x, w)
2 3 4, 1
arguments_0[a=2 b=3 c=4] arguments_1[1]
-> prelu[a b c]

refuse aten::prelu: a softmax behind it
lambda x, w: F.prelu(x, w).softmax(1)
2 3, 3
arguments_0[a=2 b=3!] arguments_1[b]
-> prelu[a b] softmax[a b]
frozen b: Softmax 'softmax': a softmax is taken over it

match aten::layer_norm: the normalized shape follows
lambda x, w, b: F.layer_norm(x, (4,), w, b)
2 3 4, 4, 4
arguments_0[a=2 b=3 c=4] arguments_1[c] arguments_2[c]
-> layer_norm[a b c]

match aten::layer_norm: two dimensions
lambda x: F.layer_norm(x, (3, 4))
2 3 4
arguments_0[a=2 b=3 c=4]
-> layer_norm[a b c]

refuse aten::layer_norm: a softmax behind it
lambda x: F.layer_norm(x, (4,)).softmax(-1)
2 4
arguments_0[a=2 b=4!]
-> layer_norm[a b] softmax[a b]
frozen b: Softmax 'softmax': a softmax is taken over it

match aten::weight_norm: the first dimension
lambda v, g: torch._weight_norm(v, g, 0)
4 3 2, 4 1 1
arguments_0[a=4 b=3 c=2] arguments_1[a 1 1]
-> _weight_norm[a b c]

match aten::weight_norm: rows of zeros, whose channels are summed
lambda v, g, x, w: (x @ torch._weight_norm(v, g, 0).t()) @ w
4 3, 4 1, 2 3, 4 5
arguments_0[a=4 b=3] arguments_1[a 1] arguments_2[c=2 b] arguments_3[a d=5]
-> _weight_norm[a b] t[b a] matmul[c a] matmul_1[c d]

refuse aten::weight_norm: a window
lambda v, g, x: F.conv1d(x, torch._weight_norm(v, g, 2))
4 3 2, 1 1 2, 1 3 5
arguments_0[a=4 b=3 c=2!] arguments_1[1 1 c] arguments_2[1 b d=5!]
-> _weight_norm[a b c] conv1d[1 a e=4!]
frozen c d e: Conv 'conv1d': the window of a convolution slides over it

match aten::statistics: over one dimension
lambda x: x.var(1, keepdim=True)
2 3 4
arguments_0[a=2 b=3 c=4]
-> var[a 1 c]

refuse aten::statistics: of everything sorted
lambda x: x.sort(1)[0].var(0)
2 3
arguments_0[a=2 b=3!]
-> getitem[a c=3!] getitem_1[a c] var[c]
frozen b c: TopK 'sort': it is sorted

match aten::extremum: a statistic over its axis, as nothing reads the positions
lambda x: x.max(1)[0]
2 3 4
arguments_0[a=2 b=3 c=4]
-> getitem[a c] getitem_1[a c]

refuse aten::extremum: counted off in order
lambda x: x.kthvalue(2, 1)[0]
2 3
arguments_0[a=2 b=3!]
-> getitem[a] getitem_1[a]
frozen b: aten::extremum 'kthvalue': its elements are counted off in order

match aten::statistics: both ends of an axis
lambda x: torch.aminmax(x, dim=1)[0]
2 3 4
arguments_0[a=2 b=3 c=4]
-> getitem[a c] getitem_1[a c]

refuse aten::extremum: its own axis
lambda x: x.max(0)[1]
3
arguments_0[a=3!]
-> getitem[] getitem_1[]
frozen a: aten::extremum 'max_1': the positions of its extrema are a result

match aten::pool: channels
lambda x: F.max_pool2d(x, 2)
1 3 4 4
arguments_0[1 a=3 b=4! c=4!]
-> max_pool2d[1 a d=2! e=2!]
frozen b c d e: aten::pool 'max_pool2d': the window of a pooling slides over it

match aten::pool: with positions of the maxima
lambda x: F.adaptive_max_pool2d(x, 2, return_indices=True)[0]
1 3 4 4
arguments_0[1 a=3 b=4! c=4!]
-> getitem[1 a d=2! e=2!] getitem_1[1 a d e]
frozen b c d e: aten::pool 'adaptive_max_pool2d': the window of a pooling slides over it

refuse aten::pool: no batch
lambda x: F.avg_pool2d(x, 2)
3 4 4
arguments_0[a=3! b=4! c=4!]
-> avg_pool2d[d=3! e=2! f=2!]
frozen a b c d e f: torch::avg_pool2d 'avg_pool2d': the operand has no batch (rank 3)

match aten::stack: a new dimension
lambda x, y: torch.stack((x, y), 1)
2 3, 2 3
arguments_0[a=2 b=3] arguments_1[a b]
-> stack[a (1 + 1) b]

refuse aten::stack: of what is sorted
lambda x, y: torch.stack((x.sort(0)[0], y))
3, 3
arguments_0[a=3!] arguments_1[b=3!]
-> getitem[b] getitem_1[b] stack[(1 + 1) b]
frozen a b: TopK 'sort': it is sorted

match aten::unbind: a part each
lambda x: x.unbind(1)[1]
2 2 3
arguments_0[a=2 (1 + 1) b=3]
-> getitem[a b] getitem_1[a b]

refuse aten::unbind: of what is sorted
lambda x: x.sort(1)[0].unbind(0)[0]
2 3
arguments_0[(1 + 1) a=3!]
-> getitem[(1 + 1) b=3!] getitem_1[(1 + 1) b] getitem_2[b] getitem_3[b]
frozen a b: TopK 'sort': it is sorted

match aten::index: points of two dimensions
lambda x: x[torch.tensor([0, 1]), :, torch.tensor([1, 1])]
2 3 2
arguments_0[a=2! b=3 c=2!]
-> lift_fresh_copy[d=2!] detach_[d] lift_fresh_copy_1[d] detach__1[d] index[d b]
frozen a c d: aten::index 'index': it is looked up by index

refuse aten::index: points of all dimensions
lambda x: x[torch.tensor([0, 1]), torch.tensor([1, 1])]
2 3
arguments_0[a=2! b=3!]
-> lift_fresh_copy[c=2!] detach_[c] lift_fresh_copy_1[c] detach__1[c] index[c]
frozen a b c: aten::index 'index': it is looked up by index

refuse aten::index: a mask is not a list of positions
lambda x: x[:, torch.tensor([False, True, True, True])]
2 4
arguments_0[a=2! b=4!]
-> lift_fresh_copy[c=4!] detach_[c] index[d=2! e=u0]
frozen a b c d e: torch::index 'index': a mask picks as many elements as are true

match aten::moved: the others are carried
lambda x: x.roll(1, 2)
2 3 4
arguments_0[a=2 b=3 c=4!]
-> roll[a b c]
frozen c: aten::moved 'roll': its elements are moved along

refuse aten::moved: rolled along
lambda x: x.roll(1, 0)
4
arguments_0[a=4!]
-> roll[a]
frozen a: aten::moved 'roll': its elements are moved along

match aten::flipped: from the last to the first
lambda x: x.flip(-1)
2 4
arguments_0[a=2 b=4{0 1 2 3}]
-> flip[a c=4{3 2 1 0}]

match aten::flipped: two axes
lambda x: x.flip(0, 1)
2 4
arguments_0[a=2{0 1} b=4{2 3 4 5}]
-> flip[c=2{1 0} d=4{5 4 3 2}]

refuse aten::flipped: the order of positions counts
lambda x: x.flip(1).argmax(1)
2 4
arguments_0[a=2 b=4!]
-> flip[a c=4!] argmax[a]
frozen b: aten::flipped 'flip': it ties elements to frozen ones
frozen c: ArgMax 'argmax': the positions of its extrema are the result

match aten::flipped: one element
lambda x: x.flip(0)
1 4
arguments_0[1 a=4]
-> flip[1 a]

match aten::repeat: new outer dimensions
lambda x: x.repeat(2, 1, 3)
4 5
arguments_0[a=4 b=5]
-> repeat[c=2 a (d=3 b)]

refuse aten::repeat: of what is sorted
lambda x: x.sort(0)[0].repeat(2, 1)
4
arguments_0[a=4!]
-> getitem[b=4!] getitem_1[b] repeat[c=2 b]
frozen a b: TopK 'sort': it is sorted

match aten::repeat_interleave: an inner factor
lambda x: x.repeat_interleave(2, 1)
2 3 4
arguments_0[a=2 b=3 c=4]
-> repeat_interleave[a (b d=2) c]

match aten::repeat_interleave: the size of the result follows
lambda x: x.repeat_interleave(2, 1, output_size=6)
2 3 4
arguments_0[a=2 b=3 c=4]
-> repeat_interleave[a (b d=2) c]

refuse aten::repeat_interleave: of everything
lambda x: x.repeat_interleave(2)
3
arguments_0[a=3!]
-> repeat_interleave[b=6!]
frozen a b: aten::repeat_interleave 'repeat_interleave': it repeats all elements of the tensor

match aten::resample: channels
lambda x: F.interpolate(x, scale_factor=2.0)
1 3 4 4
arguments_0[1 a=3 b=4! c=4!]
-> upsample_nearest2d[1 a d=8! e=8!]
frozen b c d e: aten::resample 'upsample_nearest2d': it is resampled

refuse aten::resample: no channels
lambda x: F.interpolate(x[None, None], scale_factor=2.0)
4
arguments_0[a=4!]
-> unsqueeze[1 a] unsqueeze_1[1 1 a] upsample_nearest1d[1 1 b=8!]
frozen a b: aten::resample 'upsample_nearest1d': it is resampled

match aten::pixel_unshuffle: channels
lambda x: F.pixel_unshuffle(x, 2)
1 3 4 4
arguments_0[1 a=3 (b=2 c=2!) (d=2 e=2!)]
-> pixel_unshuffle[1 (a c e) b d]
frozen c e: aten::pixel_unshuffle 'pixel_unshuffle': it comes from space

refuse aten::pixel_unshuffle: no batch
lambda x: F.pixel_unshuffle(x, 2)
3 4 4
arguments_0[a=3! b=4! c=4!]
-> pixel_unshuffle[d=12! e=2! f=2!]
frozen a b c d e f: torch::pixel_unshuffle 'pixel_unshuffle': the operand has no batch (rank 3)

match aten::recurrent: a hidden size
lambda x, h, c, w, u, b, v: torch.lstm(x, (h, c), (w, u, b, v), True, 1, 0.0, False, False, True)[0]
2 3 4, 1 2 5, 1 2 5, 20 4, 20 5, 20, 20
arguments_0[a=2 b=3! c=4] arguments_1[1 a d=5] arguments_2[1 a d] arguments_3[(e=4! d) c] arguments_4[(e d)
    d] arguments_5[(e d)] arguments_6[(e d)]
-> getitem[a b d] getitem_1[1 a d] getitem_2[1 a d]
frozen b e: aten::recurrent 'lstm': it counts steps, directions or gates of a recurrent cell

match aten::recurrent: two layers and directions
lambda x, h, *w: torch.gru(x, h, w, False, 2, 0.0, False, True, False)[0]
3 2 4, 4 2 2, 6 4, 6 2, 6 4, 6 2, 6 4, 6 2, 6 4, 6 2
arguments_0[a=3! b=2 c=4] arguments_1[(d=2! + e=2!) b f=2] arguments_2[(g=3! f) c] arguments_3[(g f) f]
    arguments_4[(g f) c] arguments_5[(g f) f] arguments_6[(h=3! f) (d f)] arguments_7[(h f) f]
    arguments_8[(h f) (d f)] arguments_9[(h f) f]
-> slice_tensor[d b f] getitem_2[a b (d f)] getitem_3[d b f] slice_tensor_1[e b f] getitem_4[a b (e f)]
    getitem_5[e b f]
frozen a d g: aten::recurrent 'gru_input': it counts steps, directions or gates of a recurrent cell
frozen a e h: aten::recurrent 'gru_input_1': it counts steps, directions or gates of a recurrent cell

refuse aten::recurrent: a projection of the hidden state
lambda x, h, c, w, u, p: torch.lstm(x, (h, c), (w, u, p), False, 1, 0.0, False, False, True)[0]
2 3 4, 1 2 2, 1 2 3, 12 4, 12 2, 2 3
arguments_0[a=2! b=3! c=4!] arguments_1[1 d=2! e=2!] arguments_2[1 f=2! g=3!] arguments_3[h=12! i=4!]
    arguments_4[j=12! k=2!] arguments_5[l=2! m=3!]
-> getitem[n=2! o=3! p=2!] getitem_1[1 q=2! r=2!] getitem_2[1 s=2! t=3!]
frozen a b c d e f g h i j k l m n o p q r s t: aten::recurrent 'lstm': a projection of the hidden state

match ConstantOfShape: what is written in place later on is one tensor
lambda x, w: (z := x.new_zeros(2, 4), z[:, 1:].copy_(x), F.linear(z, w))[-1]
2 3, 5 4
arguments_0[a=2 b=3] arguments_1[c=5 (1 + b)]
-> new_zeros[a (1 + b)] slice_1[a b] copy_[a b] linear[a c]

match Gather: positions made of ones
lambda x: x.index_select(1, torch.ones(2, dtype=torch.long)) * 1.0
2 4
arguments_0[a=2 b=4{0 1 2 3}]
-> ones[c=2!] index_select[a d=2{1 1}] mul[a d]
frozen c: Gather 'index_select': operand 1 counts positions, it holds no channels

match ConstantOfShape: what is written later on has no known elements
lambda x: (lambda z: (z[:1].add_(1), x.index_select(1, z))[1])(torch.zeros(2, dtype=torch.long)) * 1.0
2 4
arguments_0[a=2 b=4!]
-> zeros[(1 + 1)] slice_1[1] add_[1] index_select[a (1 + 1)] mul[a (1 + 1)]
frozen b: Gather 'index_select': it is looked up by index

match ConstantOfShape: positions that are counted in place
lambda x: x.index_select(1, torch.zeros(2, dtype=torch.long).add_(1)) * 1.0
2 4
arguments_0[a=2 b=4{0 1 2 3}]
-> zeros[c=2!] add_[c] index_select[a d=2{1 1}] mul[a d]
frozen c: Gather 'index_select': operand 1 counts positions, it holds no channels

match ConstantOfShape: zeros like another tensor are as many as each reader needs
lambda x, w: (lambda z: (x + z, z @ w))(torch.zeros_like(x))
2 3, 3 4
arguments_0[a=2 b=3] arguments_1[c=3 d=4]
-> zeros_like[e=2 f=3] add[a b] matmul[e d]

match ConstantOfShape: elements that are still to be written
lambda x, w: F.linear(x.new_empty(2, 3).copy_(x), w)
2 3, 5 3
arguments_0[a=2 b=3] arguments_1[c=5 b]
-> new_empty[a b] copy_[a b] linear[a c]

match Split: an even split becomes an uneven one
lambda x: x.chunk(2, 1)[0]
2 6
arguments_0[a=2 (b=3 + c=3)]
-> getitem[a b] getitem_1[a c]

match Squeeze: only dimensions of size one
lambda x: x.squeeze()
2 1 3
arguments_0[a=2 1 b=3]
-> squeeze[a b]

match Reshape: heads of the last dimension
lambda x: x.view(2, 3, 2, 4).transpose(1, 2)
2 3 8
arguments_0[a=2 b=3 (c=2 d=4)]
-> view[a b c d] transpose[a c b d]

match Reshape: a factor spelled out
lambda x: x.unflatten(1, (2, 3))
2 6 4
arguments_0[a=2 (b=2 c=3) d=4]
-> unflatten[a b c d]

match Reshape: flattened
lambda x: x.flatten(1)
2 3 4
arguments_0[a=2 b=3 c=4]
-> flatten[a (b c)]

match Pad: channels of zeros
lambda x: F.pad(x, (0, 0, 1, 2))
2 3 4
arguments_0[a=2 b=3 c=4]
-> pad[a (1 + b + d=2) c]

match Slice: rotated halves
lambda x: torch.cat((-x[..., 2:], x[..., :2]), -1)
2 4
arguments_0[a=2 (b=2 + c=2)]
-> slice_1[a c] neg[a c] slice_2[a b] cat[a (c + b)]

match Slice: past the end
lambda x: torch.cat((x[..., :4], x[..., 4:]), -1)
2 4
arguments_0[a=2 b=4]
-> alias[a b] slice_1[a c=0!] cat[a (b + c)]
frozen c: coupled to frozen elements

match Slice: a part that nobody reads
lambda x: (x[..., 1:], x.relu())[1]
2 4
arguments_0[a=2 b=4]
-> relu[a b]

match Gather: rows at positions that are computed
lambda x: F.embedding(torch.arange(2) * 2 + 1, x)
5 4
arguments_0[a=5{0 1 2 3 4} b=4]
-> embedding[c=2{1 3} b]

match Attention: grouped queries
lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
1 4 3 8, 1 2 3 8, 1 2 3 8
arguments_0[1 (a=2 b=2) c=3! d=8] arguments_1[1 a e=3! d] arguments_2[1 a e f=8]
-> scaled_dot_product_attention[1 (a b) c f]
frozen c e: Attention 'scaled_dot_product_attention': it counts positions of a sequence

match GroupNormalization: groups stay whole
lambda x, w, b: F.group_norm(x, 2, w, b)
1 4 3, 4, 4
arguments_0[1 (a=2 b=2) c=3] arguments_1[(a b)] arguments_2[(a b)]
-> group_norm[1 (a b) c]

match Gather: a table by constant indices
lambda x: x[torch.tensor([2, 0, 1, 0])]
3 4
arguments_0[a=3{0 1 2} b=4]
-> lift_fresh_copy[c=4!] detach_[c] index[d=4{2 0 1 0} b]
frozen c: Gather 'index': operand 1 counts positions, it holds no channels

match DepthToSpace: channels
lambda x: F.pixel_shuffle(x, 2)
1 12 2 2
arguments_0[1 (a=3 b=2! c=2!) d=2 e=2]
-> pixel_shuffle[1 a (d b) (e c)]
frozen b c: DepthToSpace 'pixel_shuffle': it becomes space

match Conv: groups
lambda x, w: F.conv2d(x, w, groups=2)
1 4 5 5, 6 2 3 3
arguments_0[1 (a=2 b=2) c=5! d=5!] arguments_1[(a e=3) b f=3! g=3!]
-> conv2d[1 (a e) h=3! i=3!]
frozen c d f g h i: Conv 'conv2d': the window of a convolution slides over it

match Conv: a window of one element, padded to the same size
lambda x, w: F.conv2d(x, w, padding="same")
1 4 5 5, 6 4 1 1
arguments_0[1 a=4 b=5 c=5] arguments_1[d=6 a 1 1]
-> conv2d[1 d b c]

match Conv: a window of several elements, padded to the same size
lambda x, w: F.conv2d(x, w, padding="same")
1 4 5 5, 6 4 3 3
arguments_0[1 a=4 b=5! c=5!] arguments_1[d=6 a e=3! f=3!]
-> conv2d[1 d g=5! h=5!]
frozen b c e f g h: Conv 'conv2d': the window of a convolution slides over it

refuse Conv: no batch
lambda x, w: F.conv2d(x, w)
4 5 5, 6 4 3 3
arguments_0[a=4! b=5! c=5!] arguments_1[d=6! e=4! f=3! g=3!]
-> conv2d[h=6! i=3! j=3!]
frozen a b c d e f g h i j: torch::conv2d 'conv2d': the operand has no batch (rank 3)
"""
)
MATCHES = [case for case in CASES if case.kind == "match"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_analysis_of_a_call(case: AtenCase) -> None:
    assert found_in(case) == case.expected


def test_every_operator_has_a_matching_case_beside_its_refusing_twin() -> None:
    own = {name for name in OPERATORS if name.startswith("aten::")}
    for kind in ("match", "refuse"):
        assert own - {case.op for case in [*CASES, *MORE_CASES] if case.kind == kind} == set()


@pytest.mark.parametrize("case", MATCHES, ids=str)
def test_removals_are_equivalent_to_their_reference(case: AtenCase) -> None:
    result = prune(case.weighted(), ratio=0.5, criterion="random", allow_io=("*",), runtime=False)
    assert result.plan.groups
    assert result.report is not None and result.report.equivalence.ok


@pytest.mark.parametrize("case", [case for case in CASES if case.title == "its own axis"], ids=str)
def test_nothing_can_be_removed_of_an_axis_whose_order_matters(case: AtenCase) -> None:
    with pytest.raises(TargetError, match="positions of its extrema"):
        prune(case.weighted(), ratio=0.5, criterion="random", allow_io=("*",), runtime=False)
