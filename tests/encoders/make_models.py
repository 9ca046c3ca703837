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
