"""CLIP and what is built like it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from prvr.encoders.families.base import OPENAI, Projected, Words, tensor


class ClipTowers(Projected):
    """Text attends backwards only, so that what follows [EOS] changes nothing; [EOS] is the sentence."""

    library = "CLIPModel"
    tokenizer = "CLIPTokenizer"
    usual: ClassVar[Mapping[str, Any]] = {"crop": True} | OPENAI

    def words(self, ids: Tensor, valid: Tensor) -> Words:
        hidden = self.model.text_model(input_ids=ids).last_hidden_state  # after the final layer norm
        return Words(tensor(self.model.text_projection(hidden)), valid)


class MetaClip2(ClipTowers):
    """The same towers over the tokens of XLM-V: sentences in hundreds of languages."""

    library = "MetaClip2Model"
    tokenizer = ""
