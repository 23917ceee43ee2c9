"""What folding removes, renames and replaces, through the emitter, on ONNX Runtime."""

import numpy as np
import onnx
import pytest

from tests.golden.passes_support import emitted, model_of, normal, outputs, statistics


def test_folding_reaches_the_artifact() -> None:
    """Identities at an output, constants, shapes and a normalization, through the emitter, on ONNX Runtime."""
    proto = model_of(
        """
        g (float[2, 3, 8] x) => (float[2, 32] y, float[2, 4, 8] z) {
            c = Conv(x, w)
            n = BatchNormalization(c, g, b, m, v)
            z = Identity(n)
            one = Constant<value_ints=[1]>()
            two = Constant<value_ints=[2]>()
            s = Shape(n)
            p = Gather(s, one)
            q = Gather(s, two)
            a = Mul(p, q)
            t = Concat<axis=0>(minus, a)
            e = Exp(k)
            o = Mul(n, e)
            y = Reshape(o, t)
        }
        """,
        {"w": normal(4, 3, 1), "k": normal(1), "minus": np.array([-1]), **statistics(4)},
    )
    changed = emitted(proto)
    assert [node.op_type for node in changed.graph.node] == ["Conv", "Mul", "Reshape"]
    assert [output.name for output in changed.graph.output] == ["y", "z"]
    assert {tensor.name for tensor in changed.graph.initializer} == {"w", "b", "e", "t"}
    for expected, found in zip(outputs(proto), outputs(changed), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_constant_node_moves_before_its_new_reader() -> None:
    """The shift of a normalization becomes the bias of the convolution, which stands before it."""
    proto = model_of(
        """
        g (float[2, 3, 8] x) => (float[2, 4, 8] y) {
            c = Conv(x, w)
            b = Constant<value_floats=[1.0, 2.0, 3.0, 4.0]>()
            y = BatchNormalization(c, g, b, m, v)
        }
        """,
        {"w": normal(4, 3, 1), **{k: v for k, v in statistics(4).items() if k != "b"}},
    )
    changed = emitted(proto)
    assert [node.op_type for node in changed.graph.node] == ["Constant", "Conv"]
    np.testing.assert_allclose(outputs(changed)[0], outputs(proto)[0], rtol=0, atol=1e-5)


def test_a_subgraph_goes_on_reading_a_folded_constant() -> None:
    proto = model_of(
        """
        g (float[2] x, bool c) => (float[2] y) {
            e = Exp(k)
            h = Mul(x, e)
            p = If(c) <
                then_branch = yes () => (float[2] r) { r = Mul(h, k) },
                else_branch = no () => (float[2] r) { r = Neg(h) }
            >
            y = Mul(p, e)
        }
        """,
        {"k": normal(2)},
    )
    changed = emitted(proto)
    assert [node.op_type for node in changed.graph.node] == ["Mul", "If", "Mul"]


@pytest.mark.parametrize(
    "name",
    [
        "akamaster__pytorch_resnet_cifar10__resnet20",
        "akamaster__pytorch_resnet_cifar10__resnet20_int8_qdq",
        "dog-qiuqiu__FastestDet__FastestDet",
        "fastmachinelearning__qonnx__espcn_subpixel_float",
        "lovemefan__fsmn-vad__fsmnvad-offline",
        "microsoft__Windows-Machine-Learning__tutorial_image_classifier_cifar10",
        "microsoft__onnxruntime-inference-examples__mnist-8",
    ],
)
def test_exported_models_compute_the_same(name: str, shared_models: object) -> None:
    proto = onnx.load(f"{shared_models}/{name}.onnx")
    for value in proto.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.dim_value = 2
    changed = emitted(proto)
    quantized = [n.op_type for n in proto.graph.node if n.op_type.endswith("Linear")]
    assert [n.op_type for n in changed.graph.node if n.op_type.endswith("Linear")] == quantized
    for expected, found in zip(outputs(proto), outputs(changed), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
