"""Frames a second of an encoder, and our preprocessing beside the one of the library.

python benchmarks/encode.py                        # a small random CLIP
python benchmarks/encode.py --size base            # the shape of ViT-B/32
python benchmarks/encode.py --encoder FOLDER       # a checkpoint, or `world`
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from prvr.core.types import Encoder
from prvr.encoders.loading import load_encoder

SIZES = {  # width of both towers, layers, patch, image
    "small": (192, 6, 16, 112),
    "base": (768, 12, 32, 224),
}


def random_clip(folder: Path, size: str) -> None:
    """Write a CLIP with random weights and a tokenizer that knows single bytes only."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPModel
    from transformers.utils import logging

    width, layers, patch, image = SIZES[size]
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]
    tower = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
    }
    config = CLIPConfig(
        text_config={**tower, "vocab_size": len(tokens), "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513},
        vision_config={**tower, "image_size": image, "patch_size": patch},
        projection_dim=512,
    )
    logging.disable_progress_bar()
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    vocab = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")


def seconds(work: Callable[[], object], *, repeats: int) -> float:
    """Median seconds of the clock for one call, after one that is not counted."""
    work()
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return median(took)


def library_prepare(encoder: Encoder) -> Callable[[list[np.ndarray]], object]:
    """What the library's own Pillow processor does to a list of (h, w, 3) frames for this encoder."""
    from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

    height, width = encoder.spec.image_size
    look = {"image_mean": list(encoder.spec.mean), "image_std": list(encoder.spec.std)}
    if encoder.spec.crop:
        cut = {"height": height, "width": width}
        processor = CLIPImageProcessorPil(size={"shortest_edge": max(height, width)}, crop_size=cut, **look)
    else:
        processor = SiglipImageProcessorPil(size={"height": height, "width": width}, **look)
    return lambda frames: processor(frames, return_tensors="pt")["pixel_values"]


def measure(encoder: Encoder, *, height: int, width: int, batch: int, repeats: int) -> None:
    """Print one line a stage."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, generator=generator)
    frames = pixels.permute(0, 3, 1, 2)  # as a decoder hands them over
    arrays = list(pixels.numpy())
    library = library_prepare(encoder)
    images = encoder.prepare(frames)
    texts = ["a red circle bounces across the grass, then stops"] * batch

    ours = seconds(lambda: encoder.prepare(frames), repeats=repeats) / batch
    theirs = seconds(lambda: library(arrays), repeats=repeats) / batch
    encode = seconds(lambda: encoder.encode_images(images), repeats=repeats) / batch
    read = seconds(lambda: encoder.encode_texts(texts), repeats=repeats) / batch
    print(f"prepare, ours             {1e3 * ours:8.2f} ms/frame  {1 / ours:9.1f} frames/s")
    print(f"prepare, Pillow processor {1e3 * theirs:8.2f} ms/frame  {1 / theirs:9.1f} frames/s")
    print(f"ratio                     {theirs / ours:8.1f} x")
    print(f"encode_images             {1e3 * encode:8.2f} ms/frame  {1 / encode:9.1f} frames/s")
    print(f"prepare + encode_images   {1e3 * (ours + encode):8.2f} ms/frame  {1 / (ours + encode):9.1f} frames/s")
    print(f"encode_texts              {1e3 * read:8.2f} ms/text   {1 / read:9.1f} texts/s")


def main() -> None:
    """Parse, load, measure."""
    parser = argparse.ArgumentParser(description="Frames a second of an encoder, and of its preprocessing.")
    parser.add_argument("--encoder", help="a folder, a hub name or `world`; default: a random CLIP of --size")
    parser.add_argument("--size", choices=SIZES, default="small", help="of the random CLIP")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--height", type=int, default=320)
    parser.add_argument("--width", type=int, default=426)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        name = arguments.encoder
        if not name:
            random_clip(Path(folder), arguments.size)
            name = folder
        encoder = load_encoder(name, device=arguments.device, dtype=arguments.dtype)
    spec, label = encoder.spec, arguments.encoder or f"random CLIP, {arguments.size}"
    print(f"{label}: {spec.image_size} pixels, width {spec.width}; {arguments.threads} threads")
    print(f"frames {arguments.height} x {arguments.width}, batches of {arguments.batch}")
    measure(encoder, height=arguments.height, width=arguments.width, batch=arguments.batch, repeats=arguments.repeats)


if __name__ == "__main__":
    main()
