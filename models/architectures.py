"""Small configurations of the architectures of Hugging Face's ``transformers``, with random weights."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from . import recurrent
from .export import Exporter
from .interface import Architecture, Input, export_architecture, instantiate

__all__ = ["ARCHITECTURES", "export_architecture", "instantiate"]

_VOCABULARY = 99
_TOKENS = {0: "batch", 1: "sequence"}
_ROWS = {0: "batch"}
_IDS = Input("input_ids", ("batch", "sequence"), "ids", _VOCABULARY)
_MASK = Input("attention_mask", ("batch", "sequence"), "mask")
_PIXELS = Input("pixel_values", ("batch", 3, 32, 32))
_DEFAULT: dict[str, str] = {}
_EAGER = {"attn_implementation": "eager"}
_SIZE: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_TEXT: dict[str, Any] = {**_SIZE, "intermediate_size": 64, "vocab_size": _VOCABULARY}
_VISION: dict[str, Any] = {
    **_SIZE,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
    "num_labels": 5,
}
_DECODER: dict[str, Any] = {**_TEXT, "num_key_value_heads": 2, "use_cache": False, "pad_token_id": 0}


class Positional(nn.Module):
    """A model of ``transformers`` that takes tensors in a given order and returns the outputs asked for."""

    def __init__(self, model: nn.Module, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs
        self.outputs = outputs

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        result = self.model(**dict(zip(self.inputs, tensors, strict=True)), return_dict=True)
        values = tuple(result[name] for name in self.outputs)
        return values[0] if len(values) == 1 else values


class Cached(nn.Module):
    """A causal language model that takes the keys and values of earlier tokens and returns those of all."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        from transformers import DynamicCache

        input_ids, *past = tensors
        cache = DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
        result = self.model(input_ids=input_ids, past_key_values=cache, use_cache=True, return_dict=True)
        layers = result["past_key_values"].layers
        return result["logits"], *(state for layer in layers for state in (layer.keys, layer.values))


def _model(kind: str, options: Mapping[str, Any], implementations: Mapping[str, str]) -> nn.Module:
    import transformers

    kind_of_model = getattr(transformers, kind)
    config = kind_of_model.config_class(**options)
    return kind_of_model._from_config(config, **implementations)


def _entry(
    name: str,
    kind: str,
    options: Mapping[str, Any],
    inputs: tuple[Input, ...],
    outputs: Mapping[str, Mapping[int, str]],
    sizes: Mapping[str, int] | None = None,
    fixed: Mapping[Exporter, tuple[str, ...]] | None = None,
    implementations: Mapping[str, str] = _DEFAULT,
) -> Architecture:
    def build() -> nn.Module:
        model = _model(kind, options, implementations)
        return Positional(model, tuple(each.name for each in inputs), tuple(outputs))

    return Architecture(name, build, inputs, outputs, sizes or {"batch": 2, "sequence": 7}, fixed or {})


def _cached(name: str, kind: str, options: Mapping[str, Any], heads: int, layers: int = 2) -> Architecture:
    states = [f"{state}.{index}" for index in range(layers) for state in ("key", "value")]
    past = tuple(Input(f"past.{state}", ("batch", heads, "past", 8)) for state in states)
    present = {f"present.{state}": {0: "batch", 2: "total"} for state in states}
    return Architecture(
        name,
        lambda: Cached(_model(kind, {**options, "use_cache": True}, _DEFAULT)),
        (_IDS, *past),
        {"logits": _TOKENS, **present},
        {"batch": 2, "sequence": 3, "past": 5},
    )


def _causal(name: str, kind: str, **options: Any) -> Architecture:
    return _entry(name, kind, {**_DECODER, **options}, (_IDS, _MASK), {"logits": _TOKENS})


def _image(
    name: str, kind: str, options: Mapping[str, Any], implementations: Mapping[str, str] = _DEFAULT
) -> Architecture:
    return _entry(
        name,
        kind,
        {"num_labels": 5, **options},
        (_PIXELS,),
        {"logits": _ROWS},
        {"batch": 2},
        implementations=implementations,
    )


_GPT2: dict[str, Any] = {
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "vocab_size": _VOCABULARY,
    "n_positions": 64,
    "use_cache": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_T5: dict[str, Any] = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "vocab_size": _VOCABULARY,
    "use_cache": False,
}
_SEQ2SEQ: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "vocab_size": _VOCABULARY,
    "use_cache": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
_WHISPER: dict[str, Any] = {
    **_SEQ2SEQ,
    "num_mel_bins": 16,
    "max_source_positions": 20,
    "max_target_positions": 32,
}
_DECODER_IDS = Input("decoder_input_ids", ("batch", "target"), "ids", _VOCABULARY)
_TARGETS = {0: "batch", 1: "target"}
_PAIR = {"batch": 2, "sequence": 7, "target": 5}
_FEATURES = Input("input_features", ("batch", 16, 40))
_CLIP_TEXT: dict[str, Any] = {
    **_TEXT,
    "max_position_embeddings": 40,
    "eos_token_id": 98,
    "projection_dim": 24,
}
_CLIP_VISION: dict[str, Any] = {**_VISION, "projection_dim": 24}
_SWIN: dict[str, Any] = {
    "image_size": 32,
    "patch_size": 2,
    "embed_dim": 16,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 4,
}
_RESNET: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [8, 16, 24, 32],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage4"],
}


def _detr() -> nn.Module:
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    options = {**_SEQ2SEQ, "num_queries": 6, "num_labels": 5}
    config = DetrConfig(**options, backbone_config=ResNetConfig(**_RESNET))
    return Positional(DetrForObjectDetection(config), ("pixel_values",), ("logits", "pred_boxes"))


_TRANSFORMERS = (
    _entry(
        "bert",
        "BertModel",
        _TEXT,
        (_IDS, _MASK, Input("token_type_ids", ("batch", "sequence"), "ids", 2)),
        {"last_hidden_state": _TOKENS, "pooler_output": _ROWS},
    ),
    _entry(
        "bert_eager",
        "BertForSequenceClassification",
        {**_TEXT, "num_labels": 5},
        (_IDS, _MASK),
        {"logits": _ROWS},
        implementations=_EAGER,
    ),
    _entry(
        "distilbert",
        "DistilBertForTokenClassification",
        {
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 64,
            "vocab_size": _VOCABULARY,
            "num_labels": 5,
        },
        (_IDS, _MASK),
        {"logits": _TOKENS},
    ),
    _entry("roberta", "RobertaForMaskedLM", _TEXT, (_IDS, _MASK), {"logits": _TOKENS}),
    _entry("gpt2", "GPT2LMHeadModel", _GPT2, (_IDS, _MASK), {"logits": _TOKENS}),
    _entry(
        "gpt2_eager",
        "GPT2LMHeadModel",
        _GPT2,
        (_IDS, _MASK),
        {"logits": _TOKENS},
        implementations=_EAGER,
    ),
    _causal("llama", "LlamaForCausalLM"),
    _entry(
        "llama_eager",
        "LlamaForCausalLM",
        _DECODER,
        (_IDS, _MASK),
        {"logits": _TOKENS},
        implementations=_EAGER,
    ),
    _image("vit", "ViTForImageClassification", _VISION),
    _image("vit_eager", "ViTForImageClassification", _VISION, _EAGER),
    _entry(
        "t5",
        "T5ForConditionalGeneration",
        _T5,
        (_IDS, _MASK, _DECODER_IDS),
        {"logits": _TARGETS},
        _PAIR,
    ),
    _entry("t5_encoder", "T5EncoderModel", _T5, (_IDS, _MASK), {"last_hidden_state": _TOKENS}),
    _entry(
        "t5_gated",
        "T5ForConditionalGeneration",
        {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        (_IDS, _MASK, _DECODER_IDS),
        {"logits": _TARGETS},
        _PAIR,
    ),
    _entry(
        "whisper",
        "WhisperForConditionalGeneration",
        _WHISPER,
        (_FEATURES, _DECODER_IDS, Input("decoder_attention_mask", ("batch", "target"), "mask")),
        {"logits": _TARGETS},
        {"batch": 2, "target": 5},
    ),
    _image("swin", "SwinForImageClassification", _SWIN),
    _entry(
        "mixtral",
        "MixtralForCausalLM",
        # One gathered matrix for each token and expert; the other ways use operators that ONNX lacks.
        {**_DECODER, "num_local_experts": 4, "num_experts_per_tok": 2},
        (_IDS, _MASK),
        {"logits": _TOKENS},
        implementations={"experts_implementation": "batched_mm"},
    ),
    _entry(
        "mamba",
        "MambaForCausalLM",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 8,
            "vocab_size": _VOCABULARY,
            "use_cache": False,
            "use_mambapy": False,
        },
        (_IDS,),
        {"logits": _TOKENS},
        fixed={"torchscript": ("sequence",), "dynamo": ("sequence",)},
    ),
    _image(
        "segformer",
        "SegformerForSemanticSegmentation",
        {
            "num_encoder_blocks": 2,
            "depths": [2, 2],
            "sr_ratios": [4, 1],
            "hidden_sizes": [16, 32],
            "patch_sizes": [7, 3],
            "strides": [4, 2],
            "num_attention_heads": [2, 4],
            "mlp_ratios": [2, 2],
            "decoder_hidden_size": 24,
        },
    ),
    _causal("qwen2", "Qwen2ForCausalLM"),
    _causal("mistral", "MistralForCausalLM", sliding_window=4),
    _causal("phi3", "Phi3ForCausalLM"),
    _causal("gemma", "GemmaForCausalLM", head_dim=16),
    _entry(
        "bart",
        "BartForConditionalGeneration",
        {**_SEQ2SEQ, "max_position_embeddings": 64},
        (_IDS, _MASK, _DECODER_IDS),
        {"logits": _TARGETS},
        _PAIR,
    ),
    _entry(
        "wav2vec2",
        "Wav2Vec2ForCTC",
        {
            **_TEXT,
            "conv_dim": (16, 16, 24),
            "conv_kernel": (10, 3, 2),
            "conv_stride": (5, 2, 2),
            "num_conv_pos_embeddings": 8,
            "num_conv_pos_embedding_groups": 4,
        },
        (Input("input_values", ("batch", "samples")),),
        {"logits": {0: "batch", 1: "frames"}},
        {"batch": 2, "samples": 400},
    ),
    _image("deit", "DeiTForImageClassification", _VISION),
    _image("beit", "BeitForImageClassification", {**_VISION, "use_relative_position_bias": True}),
    _image("swinv2", "Swinv2ForImageClassification", _SWIN),
    _image(
        "mobilevit",
        "MobileViTForImageClassification",
        {
            "image_size": 32,
            "hidden_sizes": [24, 32, 40],
            "neck_hidden_sizes": [8, 16, 16, 24, 24, 32, 48],
            "num_attention_heads": 4,
            "expand_ratio": 2.0,
        },
    ),
    _image(
        "convnext",
        "ConvNextForImageClassification",
        {"hidden_sizes": [16, 32], "depths": [2, 2], "num_stages": 2},
    ),
    _entry(
        "clip_text",
        "CLIPTextModelWithProjection",
        _CLIP_TEXT,
        (_IDS, _MASK),
        {"text_embeds": _ROWS, "last_hidden_state": _TOKENS},
    ),
    _entry(
        "clip_vision",
        "CLIPVisionModelWithProjection",
        _CLIP_VISION,
        (_PIXELS,),
        {"image_embeds": _ROWS},
        {"batch": 2},
    ),
    _entry(
        "clip",
        "CLIPModel",
        {"text_config": _CLIP_TEXT, "vision_config": _CLIP_VISION, "projection_dim": 24},
        (_IDS, _PIXELS, _MASK),
        {"text_embeds": _ROWS, "image_embeds": _ROWS},
    ),
    Architecture("detr", _detr, (_PIXELS,), {"logits": _ROWS, "pred_boxes": _ROWS}, {"batch": 2}),
    _entry(
        "yolos",
        "YolosForObjectDetection",
        {**_VISION, "image_size": [32, 32], "num_detection_tokens": 6},
        (_PIXELS,),
        {"logits": _ROWS, "pred_boxes": _ROWS},
        {"batch": 2},
    ),
    _cached("llama_kv", "LlamaForCausalLM", _DECODER, heads=2),
    _cached("gpt2_kv", "GPT2LMHeadModel", _GPT2, heads=4),
)

ARCHITECTURES: dict[str, Architecture] = {entry.name: entry for entry in (*_TRANSFORMERS, *recurrent.ENTRIES)}
"""Every architecture by its name."""
