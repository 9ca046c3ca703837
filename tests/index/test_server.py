"""An index in a Qdrant server, over HTTP: how its collection is kept, nodes that are away, and who is refused."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from prvr.core.config import to_dict
from prvr.core.errors import ConfigError, IndexFolderError
from prvr.core.facts import Cue, Facts
from prvr.core.types import Bank
from prvr.index import qdrant as engine
from prvr.index import qdrant_server
from prvr.index.base import Index, IndexHeader
from prvr.index.collection import CollectionForm
from prvr.index.exact import ExactIndex
from prvr.index.points import HEADER, _numbers, point_of
from prvr.index.qdrant import QdrantIndex
from prvr.index.qdrant_server import ServerPlace
from tests.index.make import bank, header, unit, video
from tests.index.wire import Qdrant, Refused, qdrant

WIDTH = 32


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Qdrant]:
    with qdrant(tmp_path / "qdrant", nodes=3) as running:
        yield running


def open_(server: Qdrant, *, head: IndexHeader | None = None, **form: object) -> QdrantIndex:
    return QdrantIndex.connect(server.url(), head or header(width=WIDTH), form=CollectionForm(**form))  # type: ignore[arg-type]


def fill(index: QdrantIndex, numbers: range, *, judge: ExactIndex | None = None) -> None:
    for v in numbers:
        one = video(v, judge_topics())
        every: list[Index] = [index] if judge is None else [index, judge]
        for each in every:
            each.add(one.video_id, one.bank, version=one.version, facts=one.facts, cues=one.cues)


def judge_topics() -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(12, WIDTH, generator=torch.Generator().manual_seed(5)), dim=1)


def test_a_collection_is_made_as_asked_and_a_difference_names_both(server: Qdrant) -> None:
    asked = CollectionForm(shards=4, replicas=2, keep="memory", quantised="int8", indexed=("tags", "modified"))
    with open_(server, **asdict(asked)) as index:
        assert index._points.form() == asked  # type: ignore[attr-defined]
    assert server.collections["videos"].vectors["clips"].datatype == "float16"
    with open_(server):
        pass  # nothing is asked for
    with open_(server, shards=4, indexed=("modified", "tags")):
        pass
    for form, says in (
        ({"shards": 6}, "was made with --shards 4, not 6, and stays so; leave the option out, or copy the index into"),
        ({"replicas": 1}, "was made with --replicas 2, not 1"),
        ({"keep": "disk"}, "was made with --keep memory, not disk"),
        ({"quantised": "none"}, "was made with --quantise int8, not none"),
        ({"indexed": ("words",)}, "was made with --payload-index tags, modified, not words"),
    ):
        with pytest.raises(IndexFolderError, match=says):
            open_(server, **form)


def test_what_is_not_asked_for_has_honest_defaults(server: Qdrant) -> None:
    with open_(server) as index:
        every = ("tags", "words", "modified", "duration_s")
        kept = CollectionForm(shards=3, replicas=1, keep="disk", quantised="none", indexed=every)
        assert index._points.form() == kept  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", [{"shards": 0}, {"replicas": -1}, {"quantised": "int4"}, {"indexed": ("name",)}])
def test_a_form_that_cannot_be_is_told_at_once(form: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        CollectionForm(**form)  # type: ignore[arg-type]


@pytest.mark.parametrize("quantised", ["none", "int8", "turbo4"])
def test_smaller_vectors_only_choose_who_is_looked_at(
    server: Qdrant, quantised: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores are those of the vectors themselves, and a video that only its frames speak for is found."""
    monkeypatch.setattr(engine, "SHORTLIST", 12)
    head = header(width=WIDTH, clip_weight=0.1)
    judge = ExactIndex(head)
    with open_(server, head=head, quantised=quantised, shards=2) as index:
        fill(index, range(60), judge=judge)
        query = judge_topics()[3]
        apart = torch.nn.functional.normalize(torch.randn(40, WIDTH), dim=1)
        apart -= (apart @ query)[:, None] * query  # nothing of the query in it
        apart = torch.nn.functional.normalize(apart, dim=1)
        frames = torch.cat([query[None], apart[:5]])
        for each in (index, judge):
            each.add("frames alone", Bank(torch.cat([frames, apart[5:9]]), torch.rand(10, 2).sort(1).values, 6))
        found, truth = index.search(query, k=3), judge.search(query, k=3)
        assert [one.video_id for one in found] == [one.video_id for one in truth]
        assert "frames alone" in [one.video_id for one in found]
        assert [one.score for one in found] == pytest.approx([one.score for one in truth], abs=1e-3)


def test_videos_are_sent_many_at_a_time_and_below_what_a_server_takes(
    server: Qdrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BYTES", 1 << 20)
    with open_(server, shards=1) as index:
        fill(index, range(130))
        index.save(Path())
        sent = [size for _, method, path, size in server.asked if (method, path[-7:]) == ("PUT", "/points")]
        assert len(sent) == 1 + 3  # the header, then 64, 64 and 2
        wide = Bank(unit(1000, WIDTH), torch.rand(1000, 2), 900)
        for v in range(7):
            index.add(f"long {v}", wide)
        index.save(Path())
    sizes = [size for _, method, path, size in server.asked if (method, path[-7:]) == ("PUT", "/points")]
    assert len(sizes) == len(sent) + 3  # three fit, then three, then the last
    assert max(sizes) < 1.3 * (1 << 20)


def test_a_number_is_written_in_five_digits_and_is_the_same_half() -> None:
    every = torch.arange(1 << 15, dtype=torch.int16).view(torch.float16)
    every = every[every.isfinite() & (every < 2)][:, None]
    written = _numbers(every.float())
    assert torch.equal(torch.tensor(written, dtype=torch.float32).half(), every)
    assert sum(len(json.dumps(row[0])) for row in written) / len(written) < 10


def test_an_index_made_otherwise_is_named_with_what_differs(server: Qdrant) -> None:
    with open_(server, shards=1) as index:
        fill(index, range(3))
    for head, says in (
        (
            header(width=WIDTH, clip_weight=0.7),
            "otherwise: its share of clips is 0.4, not 0.7; name another collection",
        ),
        (replace(header(width=WIDTH), model="other"), "otherwise: its model is m, not other"),
        (header(width=16), "its vectors are 32 wide, and those of this encoder or model 16; name another collection"),
    ):
        with pytest.raises(IndexFolderError, match=says):
            open_(server, head=head)
    encoder = replace(header().encoder, revision="2" * 12)
    with pytest.raises(IndexFolderError, match="its encoder is test@111111111111, not test@222222222222"):
        open_(server, head=replace(header(width=WIDTH), encoder=encoder))


def test_a_collection_of_another_version_or_of_something_else_is_refused(server: Qdrant) -> None:
    with open_(server) as index:
        newer = {**to_dict(header(width=WIDTH)), "version": 9}
        index._points.set_payload(HEADER, {"header": json.dumps(newer)})
    says = r"made by another version of prvr \(format 9, and this one has 2\); install that one, or name another"
    for head in (None, header(width=WIDTH)):
        with pytest.raises(IndexFolderError, match=says):
            QdrantIndex.connect(server.url(), head)
    with QdrantIndex.connect(server.url("other"), header(width=WIDTH)) as index:
        index._points.set_payload(HEADER, {"header": json.dumps({**newer, "version": 2, "colour": "red"})})
    with pytest.raises(IndexFolderError, match=r"made by another version of prvr \(.*colour"):
        QdrantIndex.connect(server.url("other"))
    with QdrantIndex.connect(server.url("third"), header(width=WIDTH)) as index:
        fill(index, range(2))
        index.save(Path())
        index._points.delete([HEADER])
        with pytest.raises(IndexFolderError, match="no longer in this collection"):
            index.generation  # noqa: B018
    with pytest.raises(IndexFolderError, match="holds 2 points that are not of prvr"):
        QdrantIndex.connect(server.url("third"), header(width=WIDTH))


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")  # as the client says of loopback, too
def test_a_wrong_key_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with qdrant(tmp_path / "qdrant", key="right") as server:
        for key in ("", "wrong"):
            monkeypatch.setenv("QDRANT_API_KEY", key)
            with pytest.raises(
                IndexFolderError, match=r"refuses the key \(Invalid API key or JWT\); export its own as"
            ):
                open_(server)
        monkeypatch.setenv("QDRANT_API_KEY", "right")
        with open_(server) as index:
            assert len(index) == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_key_goes_over_tls_to_who_has_the_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    monkeypatch.setenv("QDRANT_API_KEY", "right")
    with qdrant(tmp_path / "qdrant", key="right", tls=context) as server:
        url = f"qdrants://localhost:{server.ports[0]}/videos"
        with pytest.raises(IndexFolderError, match="certificate verify failed"):
            QdrantIndex.connect(url, header(width=WIDTH))
        assert server.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        with QdrantIndex.connect(url, header(width=WIDTH)) as index:
            fill(index, range(3))
            assert len(index) == 3


@pytest.mark.parametrize(
    "url",
    ["qdrant://", "qdrant://host", "qdrant://host/", "qdrant:///x", "qdrant://a,/x", "qdrant://h:x/y",
     "qdrant://me:secret@host/x", "qdrant://h/a/b"],
)  # fmt: skip
def test_what_is_no_place_is_told(url: str) -> None:
    with pytest.raises(IndexFolderError, match="is no place for an index; write qdrant://host:port/collection"):
        ServerPlace.of(url)


def test_a_key_goes_to_several_nodes_only_if_all_are_this_machine_or_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "key")
    with pytest.raises(IndexFolderError, match=r"in clear; write qdrants://127.0.0.1:6333,10.0.0.5:6333/videos"):
        ServerPlace.of("qdrant://127.0.0.1:6333,10.0.0.5:6333/videos")
    assert ServerPlace.of("qdrants://a,[::1]:7/v").addresses == ("https://a:6333", "https://[::1]:7")
    assert ServerPlace.of("qdrant://127.0.0.1,[::1]:7/v").local


def test_what_did_not_arrive_is_named_and_the_next_run_adds_it(server: Qdrant) -> None:
    puts = 0

    def breaks(method: str, path: str) -> None:
        nonlocal puts
        puts += (method, path[-7:]) == ("PUT", "/points")
        if puts > 1 and (method, path[-7:]) == ("PUT", "/points"):
            raise Refused(500, "Service internal error: no space left on device")

    with open_(server, shards=1) as index:
        server.breaks = breaks
        fill(index, range(64))
        with pytest.raises(
            IndexFolderError, match=r"no space left on device.*not there yet: 064, 065, 066 and 61 more"
        ):
            fill(index, range(64, 128))
        server.breaks = lambda method, path: None
        assert len(index) == 64
        fill(index, range(64, 128))
        assert len(index) == 128


def test_a_node_that_is_away_is_passed_by_where_copies_are(server: Qdrant) -> None:
    judge = ExactIndex(header(width=WIDTH))
    query = judge_topics()[1]
    with open_(server, shards=6, replicas=2) as index:
        fill(index, range(40), judge=judge)
        assert list(index.problems) == []
        server.away = {0}  # the node that was asked so far
        assert [one.video_id for one in index.search(query, k=5)] == [one.video_id for one in judge.search(query, k=5)]
        (line,) = index.problems
        assert "4 of 12 copies of its parts are on nodes that do not answer" in line
        fill(index, range(40, 60), judge=judge)  # writes go on
        assert len(index) == 60
        server.come_back(0)
        server.away = {1}  # so that what node 0 missed has to be there
        assert [one.video_id for one in index.search(query, k=9)] == [one.video_id for one in judge.search(query, k=9)]
        server.away = {0, 1}
        with pytest.raises(IndexFolderError, match="a part of the collection is on no node that answers"):
            index.search(query, k=5)
        server.away = {0, 1, 2}
        with pytest.raises(
            IndexFolderError, match=r"the index server does not do what was asked \(.*; see that it runs"
        ):
            index.search(query, k=5)
        server.away = set()
        assert len(index.search(query, k=5)) == 5


def test_without_copies_nothing_is_answered_in_part(server: Qdrant) -> None:
    with open_(server, shards=6) as index:
        fill(index, range(40))
        index.save(Path())
        server.away = {2}
        for ask in (
            lambda: index.search(judge_topics()[0], k=3),
            lambda: index.versions,
            lambda: len(index),
            lambda: index.words("dog", k=3),
            lambda: index.score_all(judge_topics()),
        ):
            with pytest.raises(
                IndexFolderError, match=r"does not have enough active replicas\); nothing is answered in"
            ):
                ask()
        with pytest.raises(IndexFolderError, match="not there yet: 000, 001, 002 and"):
            fill(index, range(64))
        server.away = set()
        fill(index, range(64))
        assert sorted(index.versions) == [f"{v:03}" for v in range(64)]


def test_a_server_is_waited_for_so_long_and_no_longer(server: Qdrant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_server, "ANSWER_S", 1)
    with open_(server, shards=1) as index:
        fill(index, range(3))
        index.save(Path())
        server.slow_s = 1.5
        with pytest.raises(IndexFolderError, match="no answer within 1 s"):
            index.search(unit(WIDTH), k=2)
        server.slow_s = 0.0


def test_a_note_of_an_earlier_version_is_read(server: Qdrant) -> None:
    with open_(server, shards=1) as index:
        index._points.set_payload(HEADER, {"notes": {"calibration": "old", "reading": "1"}})
        assert (index.note("calibration"), index.note("none")) == ("old", None)
        index.put_note("calibration", "new")
        assert index.notes() == {"calibration": "new", "reading": "1"}
        asked = len(server.asked)
        index.generation  # noqa: B018
        assert len(server.asked) == asked + 1


def test_a_bank_is_kept_as_it_is(server: Qdrant) -> None:
    with open_(server, shards=1) as index:
        one = bank(5, 3, WIDTH)
        index.add("a", one)
        (kept,) = index.videos(["a"])
        assert torch.equal(kept.bank.tokens, one.tokens.half().float())
        assert torch.equal(kept.bank.spans, one.spans)
        with pytest.raises(IndexFolderError, match="b: no such video in the index"):
            list(index.videos(["a", "b"]))


def test_numbers_of_a_video_come_back_to_the_last_bit(server: Qdrant) -> None:
    """Qdrant's engine changes the last bit of about a tenth of them where they stand in a payload as numbers."""
    times = torch.rand(200, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 1e8 + 1.7e9
    with open_(server, shards=1) as index:
        for v, time in enumerate(times.tolist()):
            facts = Facts(path=f"{v}", duration_s=time / 1e6, modified=time, tags=("a",))
            index.add(f"{v:03}", bank(1, 1, WIDTH), facts=facts, cues=(Cue(time / 1e7, time / 1e6, "x"),))
        for one, time in zip(index.videos(), times.tolist(), strict=True):
            assert (one.facts.modified, one.facts.duration_s) == (time, time / 1e6)
            assert one.cues == (Cue(time / 1e7, time / 1e6, "x"),)
        index.put_tags({"003": ["b"]})
        assert index.facts("003").tags == ("b",)
        assert [facts.modified for facts in index.all_facts().values()] == times.tolist()


def test_a_point_of_an_earlier_version_is_read(server: Qdrant) -> None:
    """Facts and words were lists and numbers there."""
    one = video(5, judge_topics())
    with open_(server, shards=1) as index:
        point = point_of(one)
        del point["payload"]["facts"]
        point["payload"]["cues"] = [list(cue) for cue in one.cues]
        index._points.upsert([point])
        (found,) = index.videos()
        assert (found.facts, found.cues) == (one.facts, one.cues)
        assert index.all_facts() == {"005": one.facts}
