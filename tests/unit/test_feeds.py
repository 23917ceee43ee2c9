"""Readers of data: every kind that a user brings gives the same feeds, and what does not fit is one line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from irprune.errors import InputError
from irprune.runtime.data import open_data
from irprune.runtime.feeds import Feeds, InputType, input_types
from irprune.runtime.files import Member, read_arrays
from irprune.runtime.labels import as_labels

IMAGE = (InputType("image", np.dtype(np.float32), ("batch", 2)),)
FIXED = (InputType("image", np.dtype(np.float32), (2, 2)),)
PAIR = (*IMAGE, InputType("length", np.dtype(np.int64), ("batch",)))


def ramp(rows: int) -> np.ndarray:
    return np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)


class Reader:
    """As onnxruntime's CalibrationDataReader: it can be read once."""

    def __init__(self, feeds: list[Feeds]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)


def one_by_one() -> Iterator[Feeds]:
    yield from ({"image": row} for row in np.array_split(ramp(3), 3))


def every_kind(folder: Path) -> dict[str, Any]:
    """Three samples in each form that is accepted."""
    np.savez(folder / "x.npz", image=ramp(3))
    np.savez_compressed(folder / "small.npz", image=ramp(3))
    np.save(folder / "x.npy", ramp(3))
    (folder / "parts").mkdir()
    for number, row in enumerate(np.array_split(ramp(3), 3)):
        np.save(folder / "parts" / f"{number + 9}.npy", row)  # 9, 10, 11: by number, not by letter
    (folder / "named").mkdir()
    np.save(folder / "named" / "image.npy", ramp(3))
    (folder / "helper.py").write_text("import numpy as np\nrows = np.arange(6, dtype=np.float32).reshape(3, 2)\n")
    (folder / "data.py").write_text(
        "def feeds():\n    import helper\n    for row in helper.rows:\n        yield row[None]\n"
    )
    return {
        "npz": folder / "x.npz",
        "compressed npz": str(folder / "small.npz"),
        "npy": folder / "x.npy",
        "folder": folder / "parts",
        "folder by input": folder / "named",
        "program": f"{folder / 'data.py'}:feeds",
        "mapping": {"image": ramp(3)},
        "array": ramp(3),
        "list": list(one_by_one()),
        "iterator": one_by_one(),
        "reader": Reader(list(one_by_one())),
    }


def test_every_kind_gives_the_same_samples_each_time(tmp_path: Path) -> None:
    for kind, given in every_kind(tmp_path).items():
        data = open_data(given, IMAGE)
        for _ in range(2):
            rows = np.concatenate([feeds["image"] for feeds in data])
            assert rows.dtype == np.float32, kind
            assert np.array_equal(rows, ramp(3)), kind
        batches = [feeds["image"].shape[0] for feeds in data.batches(2)]
        assert sum(batches) == 3, kind
        assert max(batches) <= 2, kind
        assert data.samples == (None if kind in ("program", "iterator", "reader") else 3), kind


def test_what_is_yielded_is_read_when_it_is_asked_for() -> None:
    read = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            read.append(1)
            yield ramp(1)

    feeds = iter(open_data(endless(), IMAGE))
    next(feeds), next(feeds)
    assert len(read) == 2


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_of_an_archive_are_read_in_part(tmp_path: Path, save: Any) -> None:
    array = np.random.default_rng(0).standard_normal((50, 3, 4))
    save(tmp_path / "x.npz", c=array, fortran=np.asfortranarray(array), scalar=np.float32(3))
    members = read_arrays(tmp_path / "x.npz")
    assert isinstance(members, dict)
    for name in ("c", "fortran"):
        member = members[name]
        assert isinstance(member, Member)
        assert member.shape == array.shape
        for rows in (slice(0, 5), slice(45, 60), slice(None), slice(10, 2)):
            assert np.array_equal(member[rows], array[rows])
    assert np.asarray(members["scalar"]) == 3


def test_a_fixed_batch_is_fed_one_at_a_time() -> None:
    data = open_data({"image": ramp(6)}, FIXED)
    assert [feeds["image"].shape for feeds in data] == [(2, 2)] * 3
    assert [feeds["image"].shape for feeds in data.batches(4)] == [(2, 2)] * 3
    assert data.samples == 6


def test_what_has_no_samples_of_its_own_is_fed_each_time() -> None:
    inputs = (*FIXED, InputType("rate", np.dtype(np.int64), ()), InputType("state", np.dtype(np.float32), (1, 4)))
    given = {"image": ramp(4), "rate": np.int64(16000), "state": np.ones((1, 4), np.float32)}
    feeds = list(open_data(given, inputs))
    assert len(feeds) == 2
    assert all(part["rate"] == 16000 and part["state"].shape == (1, 4) for part in feeds)


def test_an_open_first_axis_beside_a_fixed_one_is_not_cut() -> None:
    inputs = (InputType("nodes", np.dtype(np.float32), ("n", 2)), InputType("edges", np.dtype(np.int64), (2, "e")))
    given = {"nodes": ramp(8), "edges": np.zeros((2, 5), np.int64)}
    assert [feeds["nodes"].shape for feeds in open_data(given, inputs).batches(2)] == [(8, 2)]


def test_numbers_are_converted_where_nothing_is_lost() -> None:
    given = {"image": ramp(2).astype(np.float64), "length": np.array([1, 2], np.uint8)}
    (feeds,) = open_data(given, PAIR)
    assert feeds["image"].dtype == np.float32
    assert feeds["length"].dtype == np.int64


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"image": ramp(2)},
            "the inputs: input 'length' is missing; the model has 'image', 'length', the data 'image'",
        ),
        ({}, "the inputs: input 'image' is missing; the model has 'image', 'length', the data none"),
        ({"image": ramp(2), "length": np.ones(2, int), "k": np.ones(2)}, "the model has no input 'k'"),
        ({"image": ramp(2), "length": np.ones(2)}, "input 'length' has dtype float64, expected int64"),
        ({"image": np.ones((2, 2), int), "length": np.ones(2, int)}, "input 'image' has dtype int64, expected float32"),
        ({"image": ramp(2)[0], "length": np.ones(2, int)}, "input 'image' has shape [2], expected [batch, 2]"),
        ({"image": np.ones((2, 3)), "length": np.ones(2, int)}, "has shape [2, 3], expected [batch, 2]"),
        ({"image": np.ones((0, 2)), "length": np.ones(0, int)}, "it holds no samples"),
        ({"image": [[1.0, np.nan]], "length": [1]}, "input 'image' holds NaN"),
        ({"image": [[1.0, np.inf]], "length": [1]}, "input 'image' holds infinities"),
        ({"image": [[1.0, -1e38]], "length": [1]}, "input 'image' holds 1e+38, whose square overflows"),
        ({"image": [[1.0, 1e300]], "length": [1]}, "whose square overflows"),
        ({"image": [[1.0, None]], "length": [1]}, "expected an array of numbers, got one of Python objects"),
        ({"image": [[1.0], [1.0, 2.0]], "length": [1]}, "input 'image': not an array"),
        (ramp(2), "holds one array without a name, the model has 2 inputs: 'image', 'length'"),
        ([], "the inputs: holds no samples"),
        (["text"], "the inputs, part 1: expected arrays by input name, got str"),
        (3, "expected arrays by input name, an iterable of such, a CalibrationDataReader or a path, got int"),
    ],
)
def test_what_does_not_fit_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        list(open_data(given, PAIR))
    assert message in str(caught.value)


def test_numbers_that_do_not_fit_into_the_type_of_the_input() -> None:
    half, byte = (InputType("x", np.dtype(kind), ("n",)) for kind in (np.float16, np.uint8))
    with pytest.raises(InputError, match=r"holds 1e\+06, which does not fit into float16"):
        list(open_data({"x": np.array([1e6])}, [half]))
    with pytest.raises(InputError, match="do not fit into uint8"):
        list(open_data({"x": np.array([300])}, [byte]))


def test_a_wider_type_is_converted_and_said() -> None:
    given = open_data({"image": ramp(3).astype(np.float64), "length": np.array([1, 2, 3])}, PAIR)
    assert [feeds["image"].dtype for feeds in given] == [np.float32]
    assert given.notes == ("input 'image': the data is float64, converted to the model's float32",)
    same = open_data({"image": ramp(3), "length": np.array([1, 2, 3])}, PAIR)
    list(same)
    assert same.notes == ()


def test_a_mask_may_hold_the_least_number_there_is() -> None:
    mask = InputType("attention_mask", np.dtype(np.float32), ("n",))
    (feeds,) = open_data({"attention_mask": np.array([0, np.finfo(np.float32).min, -np.inf])}, [mask])
    assert feeds["attention_mask"].shape == (3,)
    with pytest.raises(InputError, match="holds infinities"):
        list(open_data({"attention_mask": np.array([np.inf])}, [mask]))


def test_stacks_of_different_height() -> None:
    inputs = [InputType(name, np.dtype(np.float32), (1, 2)) for name in "ab"]
    with pytest.raises(InputError, match="'b' holds 3 along its first axis, input 'a' 4"):
        list(open_data({"a": ramp(4), "b": ramp(3)}, inputs))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def feeds(:", "data.py, line 1: SyntaxError"),
        ("import nowhere_at_all", "data.py, line 1: ModuleNotFoundError"),
        ("raise SystemExit(0)", "data.py, line 1: SystemExit"),
        ("def other(): pass", "data.py: has no function 'feeds'"),
        ("def feeds():\n    return 1 / 0", "data.py, line 2: ZeroDivisionError: division by zero"),
        ("def feeds():\n    yield [1]\n", "data.py:feeds, part 1: expected arrays by input name, got list"),
        ("def feeds():\n    return 3", "expected an iterable of feeds, got int"),
        ("def feeds():\n    yield {'image': 1 / 0}", "data.py, line 2: ZeroDivisionError"),
    ],
)
def test_a_program_that_fails(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "data.py").write_text(text)
    with pytest.raises(InputError) as caught:
        list(open_data(f"{tmp_path / 'data.py'}:feeds", IMAGE))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_archive(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", image=np.random.default_rng(0).random((400, 2)))
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[300:1200] = bytes(900)
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(InputError, match="image is damaged"):
        list(open_data(tmp_path / "x.npz", IMAGE))


def test_the_inputs_of_a_model() -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.BFLOAT16, ["n", 3, None]),
            helper.make_tensor_value_info("w", TensorProto.BFLOAT16, [1]),
            helper.make_tensor_value_info("s", TensorProto.STRING, None),
        ],
        [helper.make_tensor_value_info("y", TensorProto.BFLOAT16, None)],
        [onnx.TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=[1], raw_data=b"\0\0")],
    )
    x, s = input_types(helper.make_model(graph))
    assert (x.name, x.dims) == ("x", ("n", 3, None))
    assert s.dims is None
    feeds = open_data({"x": np.ones((2, 3, 1), np.float32), "s": np.array(["a", "b"])}, [x, s]).first()
    assert feeds["x"].dtype.name == "bfloat16"
    assert feeds["s"].dtype == object


def test_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.array([1.0, 2.0]))
    assert as_labels(tmp_path / "labels.npy").tolist() == [1, 2]
    np.savez(tmp_path / "labels.npz", a=np.ones(2))
    with pytest.raises(InputError, match="expected one array, got an archive of 1"):
        as_labels(tmp_path / "labels.npz")
    with pytest.raises(InputError, match="no such file"):
        as_labels(tmp_path / "nowhere.npy")
    for wrong in (np.array([0.5]), np.array(["cat"]), np.array([np.nan])):
        with pytest.raises(InputError, match="expected the numbers of classes"):
            as_labels(wrong)
    with pytest.raises(InputError, match="holds no labels"):
        as_labels(np.array([], int))
