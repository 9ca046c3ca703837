"""Tiny random checkpoints, saved the way real ones are: configuration, weights, tokenizer, preprocessing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

WORDS = "a red green circle square bounces spins grows slowly on the grass beach then stops"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
TOKEN_LIMIT = 16
IMAGE = 32  # pixels
TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def clip_tokenizer(folder: Path) -> Any:
    """A byte-level BPE with [EOS] as its highest id, as released ones have; vocab.json and merges.txt beside it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=200, min_frequency=2, end_of_word_suffix="</w>", show_progress=False)
    trained.train_from_iterator([WORDS] * 4, trainer)
    merges = [(left, right) for left, right in json.loads(trained.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *(left + right for left, right in merges)]
    vocab = {token: number for number, token in enumerate([*dict.fromkeys(tokens), BOS, EOS])}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=TOKEN_LIMIT)


def siglip_tokenizer() -> Any:
    """Whole words, an unknown token, and padding that differs from [EOS]."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = ["<pad>", "</s>", "<unk>", *WORDS.split()]
    backend = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=TOKEN_LIMIT
    )


def make_clip(folder: Path, *, legacy_eos: bool = False, width: int = 24) -> Path:
    """A random CLIP; with `legacy_eos` its configuration claims [EOS] = 2, as checkpoints from before 2023 do."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    tokenizer = clip_tokenizer(folder)
    text = {
        **TOWER,
        "projection_dim": width,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": TOKEN_LIMIT,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": 2 if legacy_eos else tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**TOWER, "projection_dim": width, "image_size": IMAGE, "patch_size": 8}
    torch.manual_seed(1)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=width)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": IMAGE}, crop_size={"height": IMAGE, "width": IMAGE}).save_pretrained(
        folder
    )
    return folder


def make_siglip(folder: Path) -> Path:
    """A random SigLIP."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    tokenizer = siglip_tokenizer()
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": TOKEN_LIMIT}
    vision = {**TOWER, "image_size": IMAGE, "patch_size": 8}
    torch.manual_seed(2)
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": IMAGE, "width": IMAGE}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_siglip(tmp_path_factory.mktemp("siglip"))


FOREIGN = "красный круг прыгает по траве 一个红色的圆在草地上弹跳 دائرة حمراء تقفز"  # a red circle bounces on the grass


def word_tokenizer(
    *, before: str = "", after: str = "", unknown: str = "<unk>", more: tuple[str, ...] = (), **about: Any
) -> Any:
    """Whole words of several languages, single letters where a script has no spaces, and the tokens around them."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    around = [token for token in (before, after) if token]
    words = [word for word in FOREIGN.split() if not "\u3400" <= word[0] <= "\u9fff"]
    letters = [letter for letter in FOREIGN if "\u3400" <= letter <= "\u9fff"]
    tokens = dict.fromkeys(["<pad>", *around, unknown, *more, *WORDS.split(), *words, *letters])
    backend = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=unknown))
    backend.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=False)  # spaces around each letter
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if around:
        backend.post_processor = processors.TemplateProcessing(
            single=" ".join(token for token in (before, "$A", after) if token),
            special_tokens=[(token, backend.token_to_id(token)) for token in around],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token=unknown,
        **({"model_max_length": TOKEN_LIMIT} | about),
    )


LIBRARY = {"VideoPrism": "VideoPrismClipModel"}


def save_model(
    folder: Path, tokenizer: Any, images: Any, name: str, text: dict[str, Any], vision: dict[str, Any], **own: Any
) -> Path:
    """A random model of the library's class `name`Model, from its configuration."""
    import transformers

    config = {"vocab_size": len(tokenizer), "max_position_embeddings": TOKEN_LIMIT, "pad_token_id": 0}
    torch.manual_seed(3)
    made = getattr(transformers, f"{name}Config")(
        text_config=TOWER | config | text, vision_config=TOWER | {"image_size": IMAGE, "patch_size": 8} | vision, **own
    )
    model = getattr(transformers, LIBRARY.get(name, f"{name}Model"))(made)
    for weight in model.parameters():
        if weight.ndim > 1:  # else sentences differ by hardly more than rounding
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if images:
        images.save_pretrained(folder)
    return folder


def make_metaclip2(folder: Path) -> Path:
    """A random MetaCLIP 2; sentences are framed as XLM-RoBERTa's are."""
    from transformers import CLIPImageProcessorPil

    tokenizer = word_tokenizer(before="<s>", after="</s>", bos_token="<s>", eos_token="</s>")
    images = CLIPImageProcessorPil(size={"shortest_edge": IMAGE}, crop_size={"height": IMAGE, "width": IMAGE})
    text = {"projection_dim": 24, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    return save_model(folder, tokenizer, images, "MetaClip2", text, {"projection_dim": 24}, projection_dim=24)


def make_naflex(folder: Path) -> Path:
    """A random SigLIP 2 for pictures of any shape, 16 patches of 8 pixels at most."""
    from transformers import Siglip2ImageProcessorPil

    tokenizer = word_tokenizer(after="<eos>", eos_token="<eos>", model_input_names=["input_ids"])
    images = Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    return save_model(folder, tokenizer, images, "Siglip2", {"projection_size": 32}, {"num_patches": 16})


def bert_tokenizer() -> Any:
    return word_tokenizer(before="[CLS]", after="[SEP]", unknown="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


def make_chinese_clip(folder: Path) -> Path:
    """A random Chinese-CLIP."""
    from transformers import ChineseCLIPImageProcessorPil

    images = ChineseCLIPImageProcessorPil(size={"height": IMAGE, "width": IMAGE}, do_center_crop=False)
    return save_model(folder, bert_tokenizer(), images, "ChineseCLIP", {}, {}, projection_dim=24)


def make_altclip(folder: Path) -> Path:
    """A random AltCLIP; its places are counted as RoBERTa's are."""
    from transformers import CLIPImageProcessorPil

    tokenizer = word_tokenizer(before="<s>", after="</s>", cls_token="<s>", eos_token="</s>", model_max_length=512)
    images = CLIPImageProcessorPil(size={"shortest_edge": IMAGE}, crop_size={"height": IMAGE, "width": IMAGE})
    text = {"project_dim": 20, "max_position_embeddings": TOKEN_LIMIT + 1}
    return save_model(folder, tokenizer, images, "AltCLIP", text, {"projection_dim": 24}, projection_dim=24)


def make_align(folder: Path) -> Path:
    """A random ALIGN, its EfficientNet cut to two stages."""
    from transformers import EfficientNetImageProcessorPil

    images = EfficientNetImageProcessorPil(
        size={"height": 40, "width": 40},
        crop_size={"height": IMAGE, "width": IMAGE},
        do_center_crop=True,
        do_normalize=False,
        include_top=False,
        rescale_factor=1 / 127.5,
        rescale_offset=True,
        resample=2,
    )
    vision = {
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "hidden_dim": 24,
        "kernel_sizes": [3, 3],
        "in_channels": [32, 8],
        "out_channels": [8, 24],
        "strides": [1, 2],
        "num_block_repeats": [1, 1],
        "expand_ratios": [1, 2],
    }
    return save_model(folder, bert_tokenizer(), images, "Align", {}, vision, projection_dim=24)


def make_groupvit(folder: Path) -> Path:
    """A random GroupViT, which is no family of ours."""
    from transformers import CLIPImageProcessorPil

    tokenizer = clip_tokenizer(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": IMAGE}, crop_size={"height": IMAGE, "width": IMAGE})
    text = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    vision = {"depths": [1, 1], "num_group_tokens": [4, 0], "num_output_groups": [4, 4], "image_size": IMAGE}
    own = {"projection_dim": 24, "projection_intermediate_dim": 24}
    return save_model(folder, tokenizer, images, "GroupViT", text, vision, **own)


def make_xclip(folder: Path) -> Path:
    """A random X-CLIP that reads 4 frames at a time."""
    from transformers import VideoMAEImageProcessorPil

    tokenizer = clip_tokenizer(folder)
    images = VideoMAEImageProcessorPil(
        size={"shortest_edge": IMAGE}, crop_size={"height": IMAGE, "width": IMAGE}, resample=2
    )
    text = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    vision = {"num_frames": 4, "mit_hidden_size": 24, "mit_intermediate_size": 32, "mit_num_attention_heads": 2}
    return save_model(folder, tokenizer, images, "XCLIP", text, vision, projection_dim=24)


def make_videoprism(folder: Path) -> Path:
    """A random VideoPrism with a text tower, which reads 4 frames at a time."""
    values = {"size": {"height": IMAGE, "width": IMAGE}, "do_normalize": False, "do_rescale": True}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(values), encoding="utf-8")
    vision = {
        "num_frames": 4,
        "tubelet_size": [1, 8, 8],
        "num_spatial_layers": 1,
        "num_temporal_layers": 1,
        "num_auxiliary_layers": 1,
    }
    return save_model(folder, word_tokenizer(), None, "VideoPrism", {}, vision)


PROMPT = "a red "  # of the tiny EmbeddingGemma's queries


def make_gemma(folder: Path) -> Path:
    """A random EmbeddingGemma 2 without ears, 70 cells of 2 x 2 patches of 4 pixels a picture at most."""
    from transformers import EmbeddingGemma2Config, EmbeddingGemma2Model
    from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

    kinds = {"boi_token_id": "<boi>", "eoi_token_id": "<eoi>", "image_token_id": "<image>"}
    kinds |= {"boa_token_id": "<boa>", "eoa_token_index": "<eoa>", "audio_token_id": "<audio>", "video_token_id": "<v>"}
    tokenizer = word_tokenizer(
        before="<bos>", after="<eos>", more=tuple(kinds.values()), bos_token="<bos>", eos_token="<eos>"
    )
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in kinds.items()}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "global_head_dim": 16,
        "hidden_size_per_layer_input": 8,
        "embedding_dim": 24,
        "max_position_embeddings": TOKEN_LIMIT,
        "pad_token_id": 0,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {
        "model_type": "gemma4_vision",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "patch_size": 4,
        "pooling_kernel_size": 2,
        "position_embedding_size": 128,
    }
    torch.manual_seed(4)
    EmbeddingGemma2Model(EmbeddingGemma2Config(text_config=text, vision_config=vision, **ids)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Gemma4ImageProcessorPil(patch_size=4, pooling_kernel_size=2, max_soft_tokens=70).save_pretrained(folder)
    said = {"prompts": {"query": PROMPT, "document": ""}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


def make_tips(folder: Path) -> Path:
    """A random TIPS v2; its library preprocesses with torchvision, so the file is written here."""
    values = {
        "do_resize": True,
        "size": {"height": IMAGE, "width": IMAGE},
        "resample": 2,
        "do_rescale": True,
        "do_normalize": False,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(values), encoding="utf-8")
    return save_model(folder, word_tokenizer(), None, "Tipsv2", {}, {})
