"""How a Qdrant server keeps a collection: made as it was asked for, and compared with what is asked for later."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from prvr.core.errors import ConfigError, IndexFolderError

BRANCHES = ("frames", "clips")
FIELDS = {"tags": "keyword", "words": "keyword", "modified": "float", "duration_s": "float"}  # that filters read
KEEP = ("disk", "memory")
QUANTISED = ("none", "int8", "turbo4")
OTHER = "another kind"  # of smaller vectors, in a collection that somebody else made


@dataclass(frozen=True, kw_only=True)
class CollectionForm:
    """What is asked of a server; None: as the collection is, or in a new one as the comment says."""

    shards: int | None = None  # one for each node of the server
    replicas: int | None = None  # copies of every shard; 1
    keep: str | None = None  # where searches read the vectors, which are on the disk in any case; "disk"
    quantised: str | None = None  # smaller vectors beside them, in memory, that the first look takes; "none"
    indexed: tuple[str, ...] | None = None  # what is known of videos that filters look up; all of FIELDS

    def __post_init__(self) -> None:
        for name in ("shards", "replicas"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ConfigError(f"--{name} {number}: must be 1 or more")
        for name, value, known in (("keep", self.keep, KEEP), ("quantise", self.quantised, (*QUANTISED, OTHER))):
            if value is not None and value not in known:
                raise ConfigError(f"--{name} {value}: must be one of {', '.join(known)}")
        for field in self.indexed or ():
            if field not in FIELDS:
                raise ConfigError(f"--payload-index {field}: must be one of {', '.join(FIELDS)}")


OPTIONS = {
    "shards": "--shards",
    "replicas": "--replicas",
    "keep": "--keep",
    "quantised": "--quantise",
    "indexed": "--payload-index",
}
"""The option of the command line that each field comes from."""


def make_collection(client: Any, name: str, width: int, form: CollectionForm) -> None:
    """A collection for an index of vectors `width` wide. Raises what the client raises."""
    from qdrant_client import models

    smaller: Any = None
    if form.quantised == "int8":
        kind = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        smaller = models.ScalarQuantization(scalar=kind)
    elif form.quantised == "turbo4":
        bits = models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4, always_ram=True)
        smaller = models.TurboQuantization(turbo=bits)
    vectors = models.VectorParams(
        size=width,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        datatype=models.Datatype.FLOAT16,
        hnsw_config=models.HnswConfigDiff(m=0),  # a graph over several vectors a point takes hours
        quantization_config=smaller,
        on_disk=form.keep != "memory",
    )
    client.create_collection(
        name,
        vectors_config=dict.fromkeys(BRANCHES, vectors),
        shard_number=form.shards,
        replication_factor=form.replicas,
    )
    index_payload(client, name, form)


def index_payload(client: Any, name: str, form: CollectionForm) -> None:
    """What filters look up. Nothing happens for what is there."""
    for field, kind in FIELDS.items():
        if form.indexed is None or field in form.indexed:
            client.create_payload_index(name, field, kind, wait=True)


def form_of(info: Any, place: str) -> tuple[CollectionForm, int]:
    """What a server says of a collection -> how it is kept, and how wide its vectors are.

    Raises IndexFolderError for one that is not of prvr.
    """
    params = info.config.params
    vectors = params.vectors if isinstance(params.vectors, dict) else {}
    branch: Any = vectors.get("clips")
    if set(vectors) != set(BRANCHES) or branch.multivector_config is None:
        raise IndexFolderError(
            f"{place}: is a collection of something else (its vectors are {', '.join(sorted(vectors)) or 'unnamed'}, "
            f"not {' and '.join(BRANCHES)}); name another collection, which is then made"
        )
    smaller = branch.quantization_config
    quantised = "none"
    if smaller is not None:
        (kind,) = smaller.model_dump(exclude_none=True, mode="json").values()
        quantised = {"int8": "int8", "bits4": "turbo4"}.get(kind.get("type", kind.get("bits")), OTHER)
    on_disk = branch.on_disk or getattr(branch.memory, "value", None) == "cold"
    found = CollectionForm(
        shards=params.shard_number or 1,
        replicas=params.replication_factor or 1,
        keep="disk" if on_disk else "memory",
        quantised=quantised,
        indexed=tuple(field for field in FIELDS if field in info.payload_schema),
    )
    return found, branch.size


def check_form(found: CollectionForm, asked: CollectionForm, place: str) -> None:
    """Raises IndexFolderError where a collection is kept otherwise than is asked for; names both."""
    for name, wanted in asdict(asked).items():
        is_so = getattr(found, name)
        if wanted is None or wanted == is_so or (name == "indexed" and set(wanted) == set(is_so)):
            continue
        says, asks = (", ".join(value) or "nothing" if name == "indexed" else value for value in (is_so, wanted))
        raise IndexFolderError(
            f"{place}: was made with {OPTIONS[name]} {says}, not {asks}, and stays so; leave the option out, or copy "
            f"the index into a new collection: `prvr index --copy-to URL {OPTIONS[name]} {asks}`"
        )
