"""The world encoder: a small image-text encoder that knows the generated world and nothing else.

It stands where CLIP stands, so that the whole way can be walked without a network: frozen, one frame at a time (no
motion), words in and out in the same form. On real pictures it is worthless, and its spec says so. Its weights lie
beside this file; `prvr.reproduce.world_encoder` made them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from prvr.core.errors import EncoderError
from prvr.core.files import write_whole
from prvr.core.types import EncoderSpec, TextFeatures
from prvr.encoders.images import normalise_images, resize_images

WEIGHTS = Path(__file__).with_name("world.safetensors")
DOMAIN = "the generated world only"
MEAN = STD = (0.5, 0.5, 0.5)
WORD = re.compile(r"\w+(?:[-'’]\w+)*")
PAD, UNKNOWN, EOS = range(3)  # token ids; words follow
TEXT_BATCH = 256  # sentences at a time


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """Sizes of both towers."""

    vocabulary: tuple[str, ...]
    width: int = 128  # E
    image_size: tuple[int, int] = (72, 96)  # height, width in pixels
    channels: tuple[int, int, int, int] = (16, 32, 64, 96)
    image_blocks: int = 2
    text_width: int = 128
    text_layers: int = 2
    text_heads: int = 4
    token_limit: int = 32  # W at most, the end of the sentence included


class Convolution(nn.Module):
    """Convolution, normalisation, ReLU (on a CPU, GELU would take as long as the convolutions)."""

    def __init__(self, before: int, after: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(before, after, 3, stride, 1, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, h, w) -> (B, after, h / stride, w / stride)."""
        y: Tensor = F.relu(self.norm(self.convolve(x)))
        return y


class Block(nn.Module):
    """Look around each place, then think about it, and add both to what was there."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.look = Convolution(channels, channels, groups=channels)
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.narrow = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> the same shape."""
        y: Tensor = self.narrow(F.relu(self.widen(self.look(x))))
        return x + y


class ImageTower(nn.Module):
    """A small convolutional network: the strongest place says who is there, the mean of all places where it is."""

    def __init__(self, config: WorldConfig) -> None:
        super().__init__()
        a, b, c, d = config.channels
        self.stem = nn.Sequential(
            Convolution(3, a, stride=2), Convolution(a, b, stride=2), Convolution(b, c, stride=2), Convolution(c, d)
        )
        self.blocks = nn.Sequential(*(Block(d) for _ in range(config.image_blocks)))
        self.norm = nn.LayerNorm(d)
        self.value = nn.Linear(d, 4 * d)
        self.project = nn.Linear(8 * d, config.width)

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) -> (B, E)."""
        places = self.norm(self.blocks(self.stem(images)).flatten(2).mT)  # (B, places, d)
        value = self.value(places)  # (B, places, 4 d)
        out: Tensor = self.project(torch.cat([value.amax(dim=1), value.mean(dim=1)], dim=1))
        return out


class TextLayer(nn.Module):
    """Self-attention and a feed-forward part, each after its norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attend, self.norm_think = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width)
        self.gather = nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """x (Q, W, width), valid (Q, W) -> (Q, W, width)."""
        qkv = self.attend(self.norm_attend(x)).unflatten(2, (3, self.heads, -1))  # (Q, W, 3, H, width / H)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (Q, H, W, width / H) each
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=valid[:, None, None])
        x = x + self.gather(seen.transpose(1, 2).flatten(2))
        y: Tensor = x + self.think(self.norm_think(x))
        return y


class TextTower(nn.Module):
    """A two-layer transformer over whole words; the end of the sentence stands for all of it."""

    def __init__(self, config: WorldConfig) -> None:
        super().__init__()
        width = config.text_width
        self.words = nn.Embedding(len(config.vocabulary) + 3, width)
        self.places = nn.Embedding(config.token_limit, width)
        self.layers = nn.ModuleList(TextLayer(width, config.text_heads) for _ in range(config.text_layers))
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, config.width, bias=False)
        for table in (self.words, self.places):
            nn.init.normal_(table.weight, std=0.05)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (Q, W) -> (Q, W, E), meaningless where padded."""
        valid = tokens != PAD
        x = self.words(tokens) + self.places.weight[: tokens.shape[1]]  # (Q, W, width)
        for layer in self.layers:
            x = layer(x, valid)
        out: Tensor = self.project(self.norm(x))
        return out


class WorldNet(nn.Module):
    """Both towers."""

    def __init__(self, config: WorldConfig) -> None:
        super().__init__()
        self.config = config
        self.image = ImageTower(config)
        self.text = TextTower(config)
        self.ids = {word: i for i, word in enumerate(config.vocabulary, EOS + 1)}

    def tokenize(self, texts: list[str]) -> Tensor:
        """Sentences -> (Q, W) int64, each ended by EOS and padded at its end; what is too long loses its tail."""
        limit = self.config.token_limit - 1
        rows = [[*(self.ids.get(word, UNKNOWN) for word in words_of(text)[:limit]), EOS] for text in texts]
        longest = max(map(len, rows), default=1)
        return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows], dtype=torch.long).reshape(-1, longest)

    def encode_sentences(self, tokens: Tensor) -> Tensor:
        """tokens (Q, W) -> (Q, E): the row of each sentence's end."""
        words = self.text(tokens)
        return sentence_rows(words, tokens != PAD)


def channels_last(net: WorldNet) -> WorldNet:
    """The same net, its convolutions laid out as CPUs compute them fastest."""
    for weight in net.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return net


def words_of(text: str) -> list[str]:
    """A sentence as the tokenizer sees it."""
    return WORD.findall(text.lower())


def sentence_rows(words: Tensor, valid: Tensor) -> Tensor:
    """words (Q, W, E), valid (Q, W) -> (Q, E): the last valid row, which is the end of the sentence."""
    last = valid.sum(dim=1) - 1
    return words[torch.arange(len(words), device=words.device), last]


class WorldEncoder:
    """The `Encoder` protocol over both towers."""

    def __init__(self, net: WorldNet, *, revision: str, device: str = "cpu") -> None:
        net = net.to(device).eval().requires_grad_(False)
        self.net = channels_last(net)
        self.device = device
        config = net.config
        self._spec = EncoderSpec(
            name="world",
            revision=revision,
            width=config.width,
            image_size=config.image_size,
            mean=MEAN,
            std=STD,
            crop=False,
            token_limit=config.token_limit,
            domain=DOMAIN,
            source="world",
        )

    @property
    def spec(self) -> EncoderSpec:
        """Name `world`, domain `the generated world only`."""
        return self._spec

    def prepare(self, frames: Tensor) -> Tensor:
        """frames (B, 3, h, w) uint8 of any size -> images (B, 3, H, W) float32, squashed and normalised."""
        return normalise_images(resize_images(frames, self.spec.image_size, crop=False), MEAN, STD)

    def encode_images(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) -> (B, E) float32 on the CPU, not normalised."""
        with torch.inference_mode():
            features = self.net.image(images.to(self.device).contiguous(memory_format=torch.channels_last))
        return torch.clone(features.cpu())

    def encode_texts(self, texts: list[str]) -> TextFeatures:
        """Q sentences -> TextFeatures; the row of the end is the sentence, and all unknown words are one word."""
        tokens = self.net.tokenize(texts)
        with torch.inference_mode():
            parts = [self.net.text(part.to(self.device)).cpu() for part in torch.split(tokens, TEXT_BATCH)]
        words = torch.cat(parts) if len(texts) else torch.zeros(0, 1, self.spec.width)
        valid = tokens != PAD
        words = words.masked_fill(~valid[..., None], 0.0)
        return TextFeatures(words, valid, sentence_rows(words, valid))

    def unknown_words(self, text: str) -> list[str]:
        """The words of a sentence that mean nothing here, in their order, each once."""
        return [word for word in dict.fromkeys(words_of(text)) if word not in self.net.ids]


def load_world_encoder(*, device: str = "cpu") -> WorldEncoder:
    """The encoder that is shipped with the package. Raises EncoderError when its weights are missing or damaged."""
    return read_world_encoder(WEIGHTS, device=device)


def read_world_encoder(path: Path, *, device: str = "cpu") -> WorldEncoder:
    """A world encoder from the file that `save_world_encoder` wrote. Raises EncoderError naming the next step."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        values = json.loads(metadata["config"])
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        net = WorldNet(WorldConfig(**(values | lists)))
        net.load_state_dict({name: value.float() for name, value in weights.items()})
    except FileNotFoundError as error:
        raise EncoderError(
            f"{path}: the weights of the world encoder are missing; install the package again, or make them with "
            "`python -m prvr.reproduce.world_encoder --out FILE`"
        ) from error
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        why = str(error).splitlines()[0]
        raise EncoderError(
            f"{path}: the weights of the world encoder are damaged ({why}); install the package again"
        ) from error
    return WorldEncoder(net, revision=_hash(weights, metadata["config"]), device=device)


def save_world_encoder(net: WorldNet, path: Path, *, training: Mapping[str, str]) -> None:
    """Half precision weights with their config and how they were made, as one safetensors file, whole or not at all."""
    weights = {
        name: value.detach().cpu().half().contiguous()
        for name, value in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    config = json.dumps(asdict(net.config))
    write_whole(path, save(weights, {"format": "prvr world encoder", "config": config, **training}))


def _hash(weights: Mapping[str, Tensor], config: str) -> str:
    """sha256 of what the features depend on, and not of how it was made."""
    digest = hashlib.sha256(config.encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
