"""Golden cases of operators that the ATen table lacks, and that PyTorch makes of others which it has."""

import pytest
import torch
from torch import Tensor, nn

import irprune.torch as it
from tests.golden.helpers.aten import AtenCase, found_in, parse_aten_cases

CASES = parse_aten_cases(
    """
match hstack: a concatenation
lambda x, y: torch.hstack((x, y))
2 3, 2 4
arguments_0[a=2 b=3] arguments_1[a c=4]
-> cat[a (b + c)]

match vstack: of rows
lambda x, y: torch.vstack((x, y))
2 3, 3
arguments_0[a=2 b=3] arguments_1[b]
-> unsqueeze[1 b] cat[(a + 1) b]

match dstack: a new last dimension
lambda x, y: torch.dstack((x, y))
2 3, 2 3
arguments_0[a=2 b=3] arguments_1[a b]
-> unsqueeze[a b 1] unsqueeze_1[a b 1] cat[a b (1 + 1)]

match column_stack: a vector becomes a column
lambda x, y: torch.column_stack((x, y))
2 3, 2
arguments_0[a=2 b=3] arguments_1[a]
-> view[a 1] cat[a (b + 1)]

match hsplit: parts of their own
lambda x: x.hsplit(2)[0]
2 6
arguments_0[a=2 (b=3 + c=3)]
-> slice_1[a b]

match meshgrid: each has a dimension
lambda x, y: torch.meshgrid(x, y, indexing="ij")[0]
3, 4
arguments_0[a=3] arguments_1[b=4]
-> view[a 1] expand[a c=4]

match narrow: a slice
lambda x: x.narrow(1, 0, 2)
2 4 3
arguments_0[a=2 (b=2 + c=2) d=3]
-> slice_1[a b d]

match tile: repeats
lambda x: x.tile(2, 1)
2 3
arguments_0[a=2 b=3]
-> repeat[(c=2 a) b]

match diff: neighbors are tied
lambda x: x.diff()
2 3
arguments_0[a=2 (1 + 1 + 1)]
-> slice_1[a (1 + 1)] slice_2[a (1 + 1)] sub[a (1 + 1)]

match glu: gates go with what they open
lambda x: F.glu(x, 1)
2 6
arguments_0[a=2 (b=3 + b)]
-> slice_1[a b] slice_2[a b] sigmoid[a b] mul[a b]

match unsafe_chunk: parts that are written in place
lambda x: x.unsafe_chunk(2, 1)[0].relu_()
2 6
arguments_0[a=2 (b=3 + c=3)]
-> getitem[a b] getitem_1[a c] relu_[a b]

match outer: two dimensions
lambda x, y: torch.outer(x, y)
2, 3
arguments_0[a=2] arguments_1[b=3]
-> view[a 1] mul[a b]

match inner: the last dimensions are contracted
lambda x, y: torch.inner(x, y)
2 3, 4 3
arguments_0[a=2 b=3] arguments_1[c=4 b]
-> permute[a b] view[a b] permute_1[b c] view_1[b c] mm[a c] view_2[a c]

match tensordot: two dimensions are contracted
lambda x, y: torch.tensordot(x, y, 2)
2 3 4, 3 4 5
arguments_0[a=2 b=3 c=4] arguments_1[b c d=5]
-> permute[a b c] view[a (b c)] permute_1[b c d] view_1[(b c) d] mm[a d] view_2[a d]

match linalg_multi_dot: a chain
lambda x, y, z: torch.linalg.multi_dot((x, y, z))
2 3, 3 4, 4 5
arguments_0[a=2 b=3] arguments_1[b c=4] arguments_2[c d=5]
-> mm[a c] mm_1[a d] view[a d]

match linalg_vecdot: contracted
lambda x, y: torch.linalg.vecdot(x, y)
2 3, 2 3
arguments_0[a=2 b=3] arguments_1[a b]
-> mul[a b] sum_1[a]

match kron: products of dimensions
lambda x, y: torch.kron(x, y)
2 3, 4 2
arguments_0[a=2 b=3] arguments_1[c=4 d=2]
-> _unsafe_view[a 1 b 1] _unsafe_view_1[1 c 1 d] mul[a c b d] _unsafe_view_2[(a c) (b d)]

match cosine_similarity: the norm is a statistic
lambda x, y: F.cosine_similarity(x, y)
2 3, 2 3
arguments_0[a=2 b=3] arguments_1[a b]
-> linalg_vector_norm[a 1] clone[a 1] linalg_vector_norm_1[a 1] clone_1[a 1] scalar_tensor[] clamp_min_[a 1]
    clamp_min__1[a 1] div[a b] div_1[a b] mul[a b] sum_1[a]

match pairwise_distance: summed over
lambda x, y: F.pairwise_distance(x, y)
2 3, 2 3
arguments_0[a=2 b=3] arguments_1[a b]
-> sub[a b] add[a b] norm[a]

match mse_loss: a mean of everything
lambda x, y: F.mse_loss(x, y)
2 3, 2 3
arguments_0[a=2 b=3] arguments_1[a b]
-> sub[a b] pow_1[a b] mean[]

match cross_entropy_loss: classes are looked up
lambda x: F.cross_entropy(x, torch.tensor([0, 1]))
2 3
arguments_0[a=2 b=3!]
-> lift_fresh_copy[a] detach_[a] _log_softmax[a b] ne[a] scalar_tensor[] where[a] unsqueeze[a 1] gather[a 1]
    squeeze[a] neg[a] ne_1[a] scalar_tensor_1[] where_1[a] ne_2[a] sum_1[] _to_copy[] sum_2[] div[]
frozen b: Softmax '_log_softmax': a softmax is taken over it
frozen b: GatherElements 'gather': it is looked up by index

match rot90: one dimension is turned around
lambda x: x.rot90(1, (1, 2))
2 3 4
arguments_0[a=2 b=3 c=4{0 1 2 3}]
-> flip[a b d=4{3 2 1 0}] transpose[a d b]

match take_along_dim: the others are carried
lambda x: x.take_along_dim(torch.zeros(2, 1, dtype=torch.long), 1)
2 3
arguments_0[a=2 b=3!]
-> zeros[c=2 1] expand[c 1] expand_1[a b] remainder[c 1] gather[a 1]
frozen b: GatherElements 'gather': it is looked up by index

match one_hot: classes are counted
lambda x: F.one_hot(x.long().clamp(0, 2), 3) * 1.0
2 3
arguments_0[a=2 b=3]
-> to[a b] clamp[a b] unsqueeze[a b 1] eq[a b c=3] _to_copy[a b c] mul[a b c]

match lstm_cell: gates of one hidden size
lambda x, h, c, w, u: torch.lstm_cell(x, (h, c), w, u)[0]
2 4, 2 3, 2 3, 12 4, 12 3
arguments_0[a=2 b=4] arguments_1[a c=3] arguments_2[a d=3] arguments_3[(d + d + d + d) b] arguments_4[(d + d
    + d + d) c]
-> t[c (d + d + d + d)] mm[a (d + d + d + d)] t_1[b (d + d + d + d)] mm_1[a (d + d + d + d)] add_[a (d + d +
    d + d)] getitem_2[a d] getitem_3[a d] getitem_4[a d] getitem_5[a d] sigmoid_[a d] sigmoid__1[a d]
    tanh_[a d] sigmoid__2[a d] mul[a d] mul_1[a d] add__1[a d] tanh[a d] mul_2[a d]

match gru_cell: gates of one hidden size
lambda x, h, w, u: torch.gru_cell(x, h, w, u)
2 4, 2 3, 9 4, 9 3
arguments_0[a=2 b=4] arguments_1[a c=3] arguments_2[(c + c + c) b] arguments_3[(c + c + c) c]
-> t[b (c + c + c)] mm[a (c + c + c)] getitem[a c] getitem_1[a c] getitem_2[a c] t_1[c (c + c + c)] mm_1[a
    (c + c + c)] getitem_3[a c] getitem_4[a c] getitem_5[a c] add_[a c] sigmoid_[a c] add__1[a c]
    sigmoid__1[a c] mul_[a c] add[a c] tanh_[a c] sub[a c] mul__1[a c] add__2[a c]

match multiply: another name
lambda x, y: torch.multiply(x, y)
2 3, 3
arguments_0[a=2 b=3] arguments_1[b]
-> mul[a b]

match slice_scatter: a part is put in
lambda x, y: torch.slice_scatter(x, y, 1, 1, 3)
2 4, 2 2
arguments_0[a=2 (1 + b=2 + 1)] arguments_1[a c=2]
-> slice_1[a 1] slice_2[a 1] cat[a (1 + c + 1)]

match select_scatter: one is put in
lambda x, y: torch.select_scatter(x, y, 1, -1)
2 4, 2
arguments_0[a=2 (b=3 + 1)] arguments_1[a]
-> unsqueeze[a 1] slice_1[a b] cat[a (b + 1)]

refuse masked_select: as many elements as are true
lambda x: x.masked_select(x > 0)
2 3
arguments_0[a=2! b=3!]
-> gt[a b] masked_select[c=u0]
frozen a b c: torch::masked_select 'masked_select': it keeps the elements that their values say

match trace: the diagonal is summed
lambda x, y: torch.trace(x) * y
3 3, 4
arguments_0[a=3! b=3!] arguments_1[c=4]
-> diagonal_copy[d=3!] sum_1[] mul[c]
frozen a b d: aten::diagonal 'diagonal_copy': a diagonal is cut out of it

match nanmean: parts of parts
lambda x: x.nanmean(1)
2 3 4
arguments_0[a=2 b=3 c=4]
-> detach[a b c] ne[a b c] logical_not_[a b c] sum_1[a c] isnan[a b c] scalar_tensor[] where[a b c] sum_2[a
    c] div[a c]

refuse linalg_inv: a matrix
lambda x: torch.linalg.inv(x)
2 2
arguments_0[a=2! b=2!]
-> linalg_inv[c=2! d=2!]
frozen a b c d: torch::linalg_inv 'linalg_inv': a matrix is solved or decomposed as a whole

refuse slice_scatter: every other element
lambda x, y: torch.slice_scatter(x, y, 1, 0, 4, 2)
2 4, 2 2
arguments_0[a=2! b=4!] arguments_1[c=2! d=2!]
-> slice_scatter[e=2! f=4!]
frozen a b c d e f: torch::slice_scatter 'slice_scatter': operator torch::slice_scatter has no signature

refuse quantile: it is sorted
lambda x: x.quantile(0.5, 0)
3
arguments_0[a=3!]
-> scalar_tensor[] getitem[b=3!] view[b] mul[] isnan[b] any_1[1] expand[1] masked_fill[1] _to_copy[1]
    gather[1] sub[1] ceil_[1] _to_copy_1[1] gather_1[1] lerp_[1] squeeze_[]
frozen a b: TopK 'sort': it is sorted
frozen b: GatherElements 'gather': it is looked up by index
frozen b: GatherElements 'gather_1': it is looked up by index

refuse msort: it is sorted
lambda x: x.msort()
3
arguments_0[a=3!]
-> getitem[b=3!]
frozen a b: TopK 'sort': it is sorted

refuse bernoulli: no definition in known parts
lambda x: x.softmax(0).bernoulli()
3
arguments_0[a=3!]
-> softmax[a] bernoulli[b=3!]
frozen a: Softmax 'softmax': a softmax is taken over it
frozen a b: torch::bernoulli 'bernoulli': random numbers are drawn

refuse stft: a part that is not known
lambda x: torch.stft(x, 4, window=x[:4], return_complex=True).abs()
16
arguments_0[(a=4! + b=12!)]
-> slice_1[a] view[1 1 (a + b)] pad[1 1 c=20!] view_1[c] stft[d=3! e=17!] abs_1[d e]
frozen a b c: Pad 'pad': it is padded (reflect)
frozen a c d e: torch::stft 'stft': windows slide over its places in memory
"""
)
MATCHES = [case for case in CASES if case.kind == "match"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_analysis_of_the_parts(case: AtenCase) -> None:
    assert found_in(case) == case.expected


@pytest.mark.parametrize("case", MATCHES, ids=str)
def test_the_parts_compute_what_the_operator_does(case: AtenCase) -> None:
    expected = case.function(*case.inputs())
    torch.testing.assert_close(case.program().module(*case.inputs()), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", [case for case in MATCHES if case.op != "diff"], ids=str)
def test_removals_are_equivalent_to_their_reference(case: AtenCase) -> None:
    result = it.prune(case.weighted(), ratio=0.5, criterion="random", allow_io=("*",), runtime=False)
    assert result.plan.groups
    assert result.report is not None and result.report.equivalence.ok


class Steps(nn.Module):
    """A cell that is called once a step."""

    def __init__(self, kind: type[nn.RNNCellBase]) -> None:
        super().__init__()
        self.cell, self.out = kind(4, 8), nn.Linear(8, 3)  # type: ignore[call-arg, arg-type]

    def forward(self, x: Tensor) -> Tensor:
        zeros = x.new_zeros(x.shape[0], 8)
        state = (zeros, zeros) if isinstance(self.cell, nn.LSTMCell) else zeros
        for step in range(3):
            state = self.cell(x[:, step], state)
        return self.out(state[0] if isinstance(state, tuple) else state)


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("dynamic", [None, ({0: torch.export.Dim.AUTO},)], ids=["fixed", "any-batch"])
def test_the_hidden_size_of_a_cell(kind: type[nn.RNNCellBase], dynamic: object) -> None:
    result = it.prune(Steps(kind), (torch.randn(5, 3, 4),), ratio=0.5, dynamic_shapes=dynamic)
    assert result.report is not None and result.report.ok and result.report.exported is not None
    assert result.model.get_parameter("cell.weight_hh").shape[1] == 4


@pytest.mark.parametrize("function", ["feature_alpha_dropout", "rrelu", "_native_batch_norm_legit"])
def test_what_has_a_switch_for_training_keeps_it(function: str) -> None:
    class Switched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if function == "_native_batch_norm_legit":
                zeros, ones = torch.zeros(4), torch.ones(4)
                return torch._native_batch_norm_legit(x, None, None, zeros, ones, self.training, 0.1, 1e-5)[0]
            return getattr(nn.functional, function)(x, training=self.training)

    module = it.trace(Switched().eval(), (torch.randn(3, 4, 5),)).module
    assert function in [
        node.target._schema.name[6:]
        for node in module.graph.nodes
        if node.op == "call_function" and hasattr(node.target, "_schema")
    ]


def test_parts_of_a_size_that_only_run_time_tells() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.a(x)
            return self.c(nn.functional.glu(torch.hstack((hidden, self.b(hidden))), 1))

    shapes = ({0: torch.export.Dim.AUTO},)
    result = it.prune(Joined(), (torch.randn(3, 4),), ratio=0.5, dynamic_shapes=shapes, runtime=False)
    assert result.report is not None and result.report.ok
    assert "4 in place of 3" in result.report.equivalence.cases
    assert result.model(torch.randn(7, 4)).shape == (7, 3)
