"""From what the user called a model of speech to the model: a short name, a folder, or a name on the hub."""

from __future__ import annotations

from prvr.core.errors import EncoderError
from prvr.core.places import expanded
from prvr.core.text import nearest
from prvr.encoders import catalogue
from prvr.speech.listen import NEEDS, Listener, is_installed


def load_listener(name: str, *, device: str = "auto", threads: int = 0, fetching: bool = True) -> Listener:
    """A short name of `prvr models`, a folder in CTranslate2's form, or a hub name, which is fetched if it is not here.

    The network is asked for nothing but a model that the user calls by its hub name: `fetching` is False where a folder
    said the name. Raises EncoderError saying what is in the way and how to go on.
    """
    folder = expanded(name)
    if name and folder.is_dir():
        return Listener(folder, device=device, threads=threads)
    model = catalogue.find(name)
    if model and model.kind != catalogue.HEARS:
        raise EncoderError(f"{name}: sees and hears nothing; give --speech one of {', '.join(_names())}, or a folder")
    here = catalogue.on_disk(name)
    if here is None and catalogue.is_on_hub(name):
        if not fetching:
            raise catalogue.unfetched(name, "--speech")
        if not is_installed():
            raise EncoderError(f"{name}: {NEEDS}")  # before gigabytes come that nothing here can open
        here = catalogue.get(name)
    if here is None:
        raise _nothing_there(name)
    return Listener(here, name=name, device=device, threads=threads)


def _names() -> list[str]:
    return [model.name for model in catalogue.known(catalogue.HEARS)]


def _nothing_there(name: str) -> EncoderError:
    if model := catalogue.find(name):
        return EncoderError(catalogue.missing(model) + ("" if is_installed() else f"; {NEEDS}"))
    near = nearest(name, _names())
    hint = f"did you mean {near!r}?" if near else f"known are {', '.join(_names())}; or give a folder that holds one"
    return EncoderError(f"{name}: no such model of speech; {hint}")
