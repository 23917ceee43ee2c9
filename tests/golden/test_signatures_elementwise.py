"""Golden cases of the element-wise family: one line an operator, and the ways in which operands broadcast."""

import pytest

from tests.golden.helpers.cases import Case, check_case, parse_cases

_FLOATS = "(float[N, 4, 8] x)"
_BOOLS = "(bool[N, 4, 8] x)"
_INTEGERS = "(int32[N, 4, 8] x)"

_UNARY = """
Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor HardSigmoid HardSwish Identity LeakyRelu Log
Mish Neg Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan Tanh ThresholdedRelu
""".split()  # noqa: SIM905 (a table of names reads better)
_BINARY = ("Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum")
_COMPARING = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")

CALLS = {
    **{op: (_FLOATS, f"{op}(x)", "float") for op in _UNARY},
    **{op: (_FLOATS, f"{op}(x, w)", "float") for op in _BINARY},
    **{op: (_FLOATS, f"{op}(x, w)", "bool") for op in _COMPARING},
    **{op: (_FLOATS, f"{op}(x)", "bool") for op in ("IsInf", "IsNaN")},
    **{op: (_BOOLS, f"{op}(x, v)", "bool") for op in ("And", "Or", "Xor")},
    **{op: (_INTEGERS, f"{op}(x, i)", "int32") for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")},
    "Not": (_BOOLS, "Not(x)", "bool"),
    "BitwiseNot": (_INTEGERS, "BitwiseNot(x)", "int32"),
    "BitShift": ("(uint32[N, 4, 8] x)", 'BitShift<direction = "LEFT">(x, u)', "uint32"),
    "Cast": (_FLOATS, "Cast<to = 10>(x)", "float16"),
    "CastLike": (_FLOATS, "CastLike(x, h)", "float16"),
    "Clip": (_FLOATS, "Clip(x, low, high)", "float"),
    "Gelu": (_FLOATS, "Gelu(x)", "float"),
    "Swish": (_FLOATS, "Swish(x)", "float"),
    "Mod": (_FLOATS, "Mod<fmod = 1>(x, w)", "float"),
    "Where": (_FLOATS, "Where(v, x, w)", "float"),
}
"""Operator to inputs, call and element type of the result; opset 20 knows all of them but Swish (24)."""

_WEIGHTS = {
    "w": "float[4, 8] w",
    "v": "bool[4, 8] v",
    "i": "int32[4, 8] i",
    "u": "uint32[4, 8] u",
    "h": "float16[1] h",
    "low": "float low",
    "high": "float high",
}
_OPSETS = {"Swish": 24}
_NOT_RUN = {"Swish": "no kernel"}
_SHOWN = ("w", "i", "u")


def _head(op: str, kind: str, title: str) -> str:
    head = f"{kind} {op}: {title}" + (f" [opset {_OPSETS[op]}]" if op in _OPSETS else "")
    return head + (f" [not run: {_NOT_RUN[op]}]" if op in _NOT_RUN else "")


def _names(call: str) -> list[str]:
    return call[call.index("(") + 1 : -1].split(", ")


def _matching(op: str) -> str:
    """The operator on an operand of known shape; on one of unknown rank each refuses, as every operator does."""
    inputs, call, result = CALLS[op]
    names = _names(call)
    given = [_WEIGHTS[name] for name in names if name != "x"]
    weights = f"<{', '.join(given)}> " if given else ""
    shown = [name for name in names if name in _SHOWN]
    tied = [f"{name}[b c]" for name in shown] + (["h[1]"] if "h" in names else [])
    groups = [f"group {name}:{k} mlp {size}: {name}:{k}" for name in shown for k, size in enumerate((4, 8))]
    matching = [
        _head(op, "match", "all axes are carried"),
        f"{inputs} => ({result}[] y) {weights}{{ y = {call} }}",
        " ".join(["x[a=N b=4 c=8]", *tied]),
        "-> y[a b c]",
        *groups,
    ]
    return "\n".join(matching)


FAMILY = parse_cases("\n\n".join(map(_matching, CALLS)))

CASES = FAMILY + parse_cases(
    """
match Add: a vector along the last axis
(float[N, 4, 8] x) => (float[] y) <float[8] w> { y = Add(x, w) }
x[a=N b=4 c=8] w[c]
-> y[a b c]
group w:0 mlp 8: w:0

match Add: a channel vector stretches over space
(float[N, 4, 8] x) => (float[] y) <float[4, 1] w> { y = Add(w, x) }
x[a=N b=4 c=8] w[b 1]
-> y[a b c]
group w:0 mlp 4: w:0

match Add: a scalar
(float[N, 4, 8] x) => (float[] y) <float w> { y = Add(x, w) }
x[a=N b=4 c=8]
-> y[a b c]

match Add: both operands stretch
(float[N, 4, 1] x, float[1, 8] z) => (float[] y) { y = Add(x, z) }
x[a=N b=4 1] z[1 c=8]
-> y[a b c]

match Add: a residual
(float[N, 4] x, float[N, 4] z) => (float[] y) { y = Add(x, z) }
x[a=N b=4] z[a b]
-> y[a b]

match Add: a weight of higher rank than the activation
(float[4] x) => (float[] y) <float[3, 4] w> { y = Add(x, w) }
x[a=4] w[b=3 a]
-> y[b a]
group w:0 mlp 3: w:0
group w:1 mlp 4: w:1

match Add: one constant used by two nodes is analyzed for each
(float[N, 4] x, float[M, 4] z) => (float[] y, float[] u) <float[4] w> { y = Add(x, w) u = Add(z, w) }
x[a=N b=4] z[c=M d=4] w[b] w[d]
-> y[a b] u[c d]
group w:0 mlp 4: w:0
group w:0_1 mlp 4: w:0

refuse Add: sizes disagree [not run: malformed]
(float[N, 4] x, float[N, 5] z) => (float[] y) { y = Add(x, z) }
x[a=N b=4!] z[a c=5!]
-> y[a b]
frozen b c: Add 'Add:y': sizes 4 and 5 do not agree

match Mul: a gate of one element a channel
(float[N, 4, 8] x, float[N, 4, 1] z) => (float[] y) { y = Mul(x, z) }
x[a=N b=4 c=8] z[a b 1]
-> y[a b c]

match Mul: a value with itself
(float[N, 4] x) => (float[] y) { y = Mul(x, x) }
x[a=N b=4]
-> y[a b]

match Sum: three operands
(float[N, 4] x, float[N, 4] z, float[N, 4] u) => (float[] y) { y = Sum(x, z, u) }
x[a=N b=4] z[a b] u[a b]
-> y[a b]

match Mean: three operands
(float[N, 4] x, float[N, 1] z, float[4] u) => (float[] y) { y = Mean(x, z, u) }
x[a=N b=4] z[a 1] u[b]
-> y[a b]

match PRelu: a slope for every channel
(float[N, 4, 8] x) => (float[] y) <float[4, 1] w> { y = PRelu(x, w) }
x[a=N b=4 c=8] w[b 1]
-> y[a b c]
group w:0 mlp 4: w:0

match Where: the condition stretches
(bool[N, 1, 8] c, float[N, 4, 8] x) => (float[] y) <float w> { y = Where(c, x, w) }
c[a=N 1 b=8] x[a c=4 b]
-> y[a c b]

match Clip: bounds as attributes [opset 10]
(float[N, 4] x) => (float[] y) { y = Clip<min = 0.0, max = 6.0>(x) }
x[a=N b=4]
-> y[a b]

match Clip: bounds as operands [opset 11]
(float[N, 4] x) => (float[] y) <float low = {0}, float high = {6}> { y = Clip(x, low, high) }
x[a=N b=4]
-> y[a b]

match Clip: only an upper bound
(float[N, 4] x) => (float[] y) <float high = {6}> { y = Clip(x, "", high) }
x[a=N b=4]
-> y[a b]

match Cast: to integers and back
(float[N, 4] x) => (float[] y) { i = Cast<to = 7>(x) y = Cast<to = 1>(i) }
x[a=N b=4]
-> i[a b] y[a b]
"""
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_axes(case: Case) -> None:
    check_case(case)
