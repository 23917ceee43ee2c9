"""``irprune vocabulary``: models and tokenizers of fewer tokens, checked by ONNX Runtime and by ``tokenizers``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

from irprune.cli import run

V, D = 40, 8
HEAD = '<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>'
GRAPHS = {
    "tied": """g (int64[n, t] ids) => (float[n, t, 40] logits)
        { x = Gather(table, ids)
          h = Gelu(x)
          w = Transpose<perm = [1, 0]>(table)
          logits = MatMul(h, w) }""",
    "untied with a bias": """g (int64[n, t] ids, int64[n, t] kinds) => (float[n, t, 40] logits)
        { x = Gather(table, ids)
          k = Gather(few, kinds)
          h = Add(x, k)
          y = MatMul(h, head)
          logits = Add(y, bias) }""",
    "encoder": """g (int32[n, t] ids) => (float[n, t, 8] out)
        { wide = Cast<to = 7>(ids)
          x = Gather(table, wide)
          out = Tanh(x) }""",
    "shared by encoder and decoder": """g (int64[n, t] ids, int64[n, s] decoder_ids) => (float[n, s, 40] logits)
        { x = Gather(table, ids)
          y = Gather(table, decoder_ids)
          m = ReduceMean<keepdims = 1>(x, one)
          h = Add(y, m)
          w = Transpose<perm = [1, 0]>(table)
          logits = MatMul(h, w) }""",
    "rows of bytes": """g (int64[n, t] ids) => (float[n, t, 8] out)
        { q = Gather(bytes, ids)
          x = DequantizeLinear(q, scale, zero)
          out = Gelu(x) }""",
    "dequantized table": """g (int64[n, t] ids) => (float[n, t, 40] logits)
        { table_f = DequantizeLinear<axis = 0>(bytes, scales, zeros)
          x = Gather(table_f, ids)
          logits = MatMul(x, head) }""",
    "blocks of four bits": """g (int64[n, t] ids) => (float[n, t, 32] out)
        { x = com.microsoft.GatherBlockQuantized<gather_axis = 0, quantize_axis = 1, block_size = 16>(
              nibbles, ids, block_scales)
          out = Gelu(x) }""",
}
REFUSED = {
    "compared": (
        """g (int64[n, t] ids) => (float[n, t, 8] out)
        { x = Gather(table, ids)
          pad = Equal(ids, zero64)
          f = Cast<to = 1>(pad)
          u = Unsqueeze(f, last)
          out = Mul(x, u) }""",
        2,
        "token ids have a meaning there",
    ),
    "joined with a constant": (
        """g (int64[n, t] ids) => (float[m, t, 8] out)
        { all = Concat<axis = 0>(ids, first)
          out = Gather(table, all) }""",
        2,
        "token ids have a meaning there",
    ),
    "a softmax over tokens": (
        """g (int64[n, t] ids) => (float[n, t, 40] out)
        { x = Gather(table, ids)
          y = MatMul(x, head)
          out = Softmax<axis = -1>(y) }""",
        1,
        "cannot be cut",
    ),
    "no tokens": ("g (float[n, 8] x) => (float[n, 8] out) { out = Gelu(x) }", 2, "no table of constants"),
}
KEPT = [0, 1, 2, 5, 8, 13, 21, 34, 39]


def model(text: str) -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    found = onnx.parser.parse_model(f"{HEAD}\n{text}")
    tensors = {
        "table": generator.normal(size=(V, D)).astype(np.float32),
        "head": generator.normal(size=(D, V)).astype(np.float32),
        "few": generator.normal(size=(3, D)).astype(np.float32),
        "bias": generator.normal(size=V).astype(np.float32),
        "bytes": generator.integers(0, 255, (V, D)).astype(np.uint8),
        "scale": np.float32(0.1),
        "zero": np.uint8(7),
        "scales": generator.uniform(0.1, 1, V).astype(np.float32),
        "zeros": generator.integers(0, 255, V).astype(np.uint8),
        "one": np.array([1]),
        "last": np.array([2]),
        "zero64": np.array(0),
        "first": np.array([[1, 1, 1]]),
        "block_scales": generator.uniform(0.1, 1, (V, 2)).astype(np.float32),
    }
    used = {name for node in found.graph.node for name in node.input}
    found.graph.initializer.extend(onnx.numpy_helper.from_array(a, k) for k, a in tensors.items() if k in used)
    if "nibbles" in used:
        packed = generator.integers(0, 255, V * 16).astype(np.uint8).tobytes()
        found.graph.initializer.append(
            onnx.helper.make_tensor("nibbles", onnx.TensorProto.UINT4, [V, 32], packed, True)
        )
    return found


def cut(folder: Path, proto: onnx.ModelProto, *words: str, kept: list[int] = KEPT) -> int:
    onnx.save(proto, folder / "m.onnx")
    (folder / "ids.txt").write_text("\n".join(map(str, kept)))
    return run(["vocabulary", str(folder / "m.onnx"), "-o", str(folder / "o.onnx"), "--keep-tokens", *words])


def require_equal(folder: Path, kept: list[int], ids: list[str]) -> None:
    """Both models on the same tokens; the axis of tokens of an output is taken at the kept ones."""
    sessions = [
        ort.InferenceSession(folder / name, providers=["CPUExecutionProvider"]) for name in ("m.onnx", "o.onnx")
    ]
    generator = np.random.default_rng(1)
    feeds: list[dict[str, np.ndarray]] = [{}, {}]
    for spec in sessions[0].get_inputs():
        dtype = np.int32 if "int32" in spec.type else np.int64
        places = generator.integers(len(kept), size=(2, 3))
        for feed, values in zip(feeds, (np.array(kept)[places], places), strict=True):
            feed[spec.name] = (values if spec.name in ids else places % 3).astype(dtype)
    wanted, found = (session.run(None, feed)[0] for session, feed in zip(sessions, feeds, strict=True))
    size = json.loads((folder / "o.ids.json").read_text())["size"]
    wanted = wanted[..., kept] if wanted.shape[-1] == size else wanted
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_kept_tokens_are_what_they_were(tmp_path: Path, name: str) -> None:
    assert cut(tmp_path, model(GRAPHS[name]), str(tmp_path / "ids.txt")) == 0
    assert json.loads((tmp_path / "o.ids.json").read_text())["kept"] == KEPT
    require_equal(tmp_path, KEPT, ["ids", "decoder_ids"])
    before, after = (onnx.load(tmp_path / f"{name}.onnx").graph for name in ("m", "o"))
    whole = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in before.initializer}
    for tensor in after.initializer:
        array, source = onnx.numpy_helper.to_array(tensor), whole[tensor.name]
        assert V not in array.shape
        axis = source.shape.index(V) if V in source.shape else None
        wanted = source if axis is None else source.take(KEPT, axis=axis)
        assert array.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_where_other_ids_would_have_another_meaning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    text, code, words = REFUSED[name]
    assert cut(tmp_path, model(text), str(tmp_path / "ids.txt")) == code
    said = capfd.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (tmp_path / "o.onnx").exists() and not (tmp_path / "o.ids.json").exists()


@pytest.mark.parametrize(
    ("kept", "code", "words"),
    [([1, 40], 2, "token 40 is out of range"), (list(range(V)), 1, "nothing to remove")],
    ids=["out of range", "all"],
)
def test_wrong_lists(tmp_path: Path, capfd: pytest.CaptureFixture[str], kept: list[int], code: int, words: str) -> None:
    assert cut(tmp_path, model(GRAPHS["tied"]), str(tmp_path / "ids.txt"), kept=kept) == code
    assert words in capfd.readouterr().err


def test_a_tokenizer_needs_a_text(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("WordPiece", tmp_path)
    assert cut(tmp_path, model(GRAPHS["tied"]), str(tmp_path / "tokenizer.json")) == 2
    assert "needs --corpus" in capfd.readouterr().err


def test_a_wrong_cut_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A fault in the plan: rows of other tokens."""
    from irprune.vocabulary.tables import Vocabulary

    right = Vocabulary.cut
    monkeypatch.setattr(Vocabulary, "cut", lambda self, kept, seed=0: right(self, [*kept[:-1], kept[-1] - 1], seed))
    assert cut(tmp_path, model(GRAPHS["tied"]), str(tmp_path / "ids.txt")) == 1
    assert "differs from" in capfd.readouterr().err
    assert not (tmp_path / "o.onnx").exists()


LINES = [
    "the quick brown fox jumps over the lazy dog",
    "a pass rewrites the graph and the driver checks it",
    "channels that can only be removed together are found first",
    "every removal is proved on the runtime before it is written",
    "trees have no axes and get a representation of their own",
]


def trained(kind: str, folder: Path) -> Path:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
    if kind == "BPE":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    elif kind == "Unigram":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=special, unk_token="[UNK]", show_progress=False
        )
    elif kind == "WordPiece":
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
        trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    else:
        made = Tokenizer(models.WordLevel(unk_token="[UNK]"))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    made.train_from_iterator(LINES, trainer)
    ends = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


@pytest.mark.parametrize("kind", ["BPE", "Unigram", "WordLevel", "WordPiece"])
def test_the_tokenizer_encodes_kept_text_to_the_new_ids(tmp_path: Path, kind: str) -> None:
    from tokenizers import Tokenizer

    path = trained(kind, tmp_path)
    before = Tokenizer.from_file(str(path))
    size = before.get_vocab_size()
    proto = model(GRAPHS["tied"])
    table = np.random.default_rng(0).normal(size=(size, D)).astype(np.float32)
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(table, "table"))
    proto.graph.output[0].type.tensor_type.shape.dim[2].dim_value = size
    (tmp_path / "text.txt").write_text("\n".join(LINES[:2]))
    assert cut(tmp_path, proto, str(path), "--corpus", str(tmp_path / "text.txt")) == 0
    kept = json.loads((tmp_path / "o.ids.json").read_text())["kept"]
    assert len(kept) < size
    after = Tokenizer.from_file(str(tmp_path / "o.tokenizer.json"))
    assert after.get_vocab_size() == len(kept)
    for line in LINES[:2]:
        old, new = before.encode(line), after.encode(line)
        assert [kept[number] for number in new.ids] == old.ids
        assert new.tokens == old.tokens
        assert after.decode(new.ids) == before.decode(old.ids)
    require_equal(tmp_path, kept, ["ids"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_exports_of_transformers(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")
    import transformers as tf

    torch.manual_seed(0)
    few = {"vocab_size": V, "attn_implementation": "eager"}
    if kind == "bert":
        config = tf.BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, **few)
        made, options = tf.BertForMaskedLM(config), {}
    elif kind == "gpt2":
        made, options = (
            tf.GPT2LMHeadModel(tf.GPT2Config(n_embd=32, n_layer=1, n_head=2, n_positions=32, **few)),
            {"use_cache": False},
        )
    else:
        config = tf.T5Config(d_model=32, d_kv=16, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0, **few)
        made, options = tf.T5ForConditionalGeneration(config), {"use_cache": False}

    class Logits(torch.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.made = made

        def forward(self, ids, decoder_ids=None):  # type: ignore[no-untyped-def]
            more = {} if decoder_ids is None else {"decoder_input_ids": decoder_ids}
            return self.made(input_ids=ids, **more, **options).logits

    ids = torch.randint(0, V, (2, 3))
    inputs = (ids, ids) if kind == "t5" else (ids,)
    names = ["ids", "decoder_ids"][: len(inputs)]
    program = torch.onnx.export(Logits().eval(), inputs, input_names=names, dynamo=True, verbose=False)
    assert program is not None
    assert cut(tmp_path, program.model_proto, str(tmp_path / "ids.txt")) == 0
    require_equal(tmp_path, KEPT, names)
