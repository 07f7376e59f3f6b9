"""STOW-RS over a real socket: what is kept is byte for byte, and what is hostile is refused."""

import hashlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from pydicom import dcmread, dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from appliance.core.clock import SystemClock
from appliance.core.model import Door
from scp.deposit import Depot
from scp.spool import Spool
from scp.stow import Receive, Scope, Send, Stow, StowClient, StowOptions
from tests.builders import mr_series, mr_slices, write
from tests.counterparts import HOST, orthanc, wait_until
from tests.receiving import Told

TOKEN = "0123456789abcdef"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
RELATED = 'multipart/related; type="application/dicom"; boundary=B'


@dataclass
class Server:
    port: int
    spool: Spool
    told: Told

    def url(self, path: str = "/dicom-web/studies") -> str:
        return f"http://{HOST}:{self.port}{path}"

    def post(
        self, body: bytes, path: str = "/dicom-web/studies", **headers: str
    ) -> requests.Response:
        sent = {"Content-Type": RELATED, **AUTH, **headers}
        return requests.post(self.url(path), data=body, headers=sent, timeout=20)

    def data_sets(self) -> set[bytes]:
        return {data_set_of(self.spool.path(n).read_bytes()) for n in self.spool.new_entries()}

    def leftovers(self) -> list[Path]:
        return list((self.spool.root / "tmp").glob("*/*"))


async def pages(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a page"})


@contextmanager
def serving(root: Path, *, refuse_below: int = 0, **changes: Any) -> Iterator[Server]:
    spool, told = Spool(root / "spool"), Told()
    depot = Depot(spool, told, SystemClock(), largest=10**8, refuse_below=refuse_below)
    client = StowClient(ae_title="WEBPACS", token_sha256=hashlib.sha256(TOKEN.encode()).digest())
    values: dict[str, Any] = {"ae_title": "APPLIANCE", "clients": (client,)}
    options = StowOptions(**{**values, "largest_request": 10**8, **changes})
    config = uvicorn.Config(
        Stow(options, depot, pages), log_config=None, http="h11", ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    listener = socket.create_server((HOST, 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield Server(listener.getsockname()[1], spool, told)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("stow"), most_parts=20, largest_request=10**7) as running:
        yield running


def data_set_of(content: bytes) -> bytes:
    (length,) = struct.unpack_from("<I", content, 140)
    return content[144 + length :]


def body_of(*files: bytes, head: bytes = b"Content-Type: application/dicom\r\n") -> bytes:
    parts = b"".join(b"--B\r\n" + head + b"\r\n" + file + b"\r\n" for file in files)
    return parts + b"--B--\r\n"


def one(folder: Path, **having: object) -> bytes:
    return write(mr_slices(slices=1, **having)[0], folder / "one.dcm").read_bytes()


def reasons(answer: requests.Response, sequence: str = "00081198") -> list[int]:
    items = answer.json()[sequence]["Value"]
    return [item["00081197"]["Value"][0] for item in items]


def test_instances_are_kept_byte_for_byte_and_named_in_the_answer(
    server: Server, tmp_path: Path
) -> None:
    slices = mr_slices(slices=3, rows=700, columns=900)  # more than a megabyte each
    slices[1].compress(RLELossless)
    paths = [write(one, tmp_path / f"{n}.dcm") for n, one in enumerate(slices)]
    files = [path.read_bytes() for path in paths]

    answer = server.post(body_of(*files))

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    stored = [item["00081155"]["Value"][0] for item in answer.json()["00081199"]["Value"]]
    assert stored == [str(one.SOPInstanceUID) for one in slices]
    assert "00081198" not in answer.json()
    assert {data_set_of(file) for file in files} <= server.data_sets()
    received = [i for i in server.told.instances if i.sop_instance_uid in stored]
    assert {(i.calling_ae_title, i.called_ae_title, i.door) for i in received} == {
        ("WEBPACS", "APPLIANCE", Door.PUSHED)
    }
    assert server.post(body_of(*files)).status_code == 200  # a resend is a success
    assert len([i for i in server.told.instances if i.sop_instance_uid in stored]) == 3


def test_orthanc_sends_by_dicomweb(server: Server, tmp_path: Path) -> None:
    paths = mr_series(tmp_path / "mr", slices=4)
    web = {
        "Enable": True,
        "Servers": {"us": {"Url": server.url("/dicom-web/"), "HttpHeaders": AUTH}},
    }
    with orthanc(tmp_path, settings={"DicomWeb": web}) as pacs:
        ids = [pacs.post("/instances", path.read_bytes())["ID"] for path in paths]
        pacs.post("/dicom-web/servers/us/stow", {"Resources": ids, "Synchronous": True})
    assert {data_set_of(path.read_bytes()) for path in paths} <= server.data_sets()


def test_the_study_of_the_address_is_the_only_one_that_is_taken(
    server: Server, tmp_path: Path
) -> None:
    ours, other = (one(tmp_path, StudyInstanceUID=uid) for uid in ("1.2.3", "1.2.4"))
    answer = server.post(body_of(ours, other), "/dicom-web/studies/1.2.3")
    assert answer.status_code == 202
    assert reasons(answer) == [0xA902]
    assert len(answer.json()["00081199"]["Value"]) == 1
    assert data_set_of(other) not in server.data_sets()
    assert server.post(body_of(ours), "/dicom-web/studies/..").status_code in (400, 404)


def deflated(folder: Path) -> bytes:
    dataset = mr_slices(slices=1)[0]
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dcmwrite(folder / "deflated.dcm", dataset, enforce_file_format=True)
    return (folder / "deflated.dcm").read_bytes()


def test_what_is_no_whole_dicom_file_is_refused_with_a_reason(
    server: Server, tmp_path: Path
) -> None:
    good = one(tmp_path)
    other_uid = good.replace(dcmread(tmp_path / "one.dcm").SOPInstanceUID.encode(), b"1.2.3", 1)
    before = server.data_sets()
    assert reasons(server.post(body_of(deflated(tmp_path)))) == [0xC122]
    assert reasons(server.post(body_of(good[:-100]))) == [0xC101]
    assert reasons(server.post(body_of(other_uid[:400])), "0008119A") == [0xC100]
    answer = server.post(body_of(b"Dear colleague", good[:140], b""))
    assert (answer.status_code, reasons(answer, "0008119A")) == (409, [0xC100] * 3)
    text = body_of(good, head=b"Content-Type: text/plain\r\n")
    assert reasons(server.post(text), "0008119A") == [0xC100]
    assert server.data_sets() == before
    assert server.leftovers() == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": "", "X-SSL-Client-Cert": "CN=WEBPACS"}, 401),
        ({"Content-Type": "application/dicom"}, 415),
        ({"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=B'}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Encoding": "deflate"}, 415),
        ({"Content-Type": 'multipart/related; type="application/dicom"'}, 400),
        ({"Content-Type": f"multipart/related; boundary={'b' * 201}"}, 400),
        ({"Accept": "application/dicom+xml"}, 406),
    ],
)
def test_a_request_that_is_not_understood_or_not_allowed_is_refused_before_its_body(
    server: Server, headers: dict[str, str], status: int
) -> None:
    answer = server.post(body_of(b""), **headers)
    assert answer.status_code == status
    assert TOKEN not in answer.text


def test_other_methods_and_places(server: Server) -> None:
    get = requests.get(server.url(), headers=AUTH, timeout=20)
    assert (get.status_code, get.headers["allow"]) == (405, "POST")
    assert server.post(b"", "/dicom-web/series").status_code == 404
    assert requests.get(server.url("/somewhere"), timeout=20).text == "a page"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"x" * 200_000,
        b"--B--\r\n",
        b"--B\r\nContent-Type: application/dicom\r\n\r\nDICM and then nothing",
        b"--B\r\n" + b"A: 1\r\n" * 1_000_000,
        b"--B\r\n" + b"A: 1\r\n" * 100 + b"\r\nx\r\n--B--",
        b"--B\r\nno header\r\n\r\nx\r\n--B--",
        b"--B" + b"x" * 300 + b"\r\n\r\n",
        b"--B\r\n\r\nx\r\n" * 21 + b"--B--",
    ],
)
def test_a_hostile_body_is_a_bad_request_and_leaves_nothing(server: Server, body: bytes) -> None:
    before = server.data_sets()
    assert server.post(body).status_code in (400, 413)
    assert server.data_sets() == before
    wait_until(lambda: server.leftovers() == [])


def test_a_nested_multipart_is_no_dicom_file(server: Server, tmp_path: Path) -> None:
    inner = body_of(one(tmp_path)).replace(b"--B", b"--C")
    outer = body_of(inner, head=b"Content-Type: multipart/related; boundary=C\r\n")
    assert reasons(server.post(outer), "0008119A") == [0xC100]


def test_a_body_beyond_the_limit_is_refused_whether_it_says_its_length_or_not(
    server: Server,
) -> None:
    assert server.post(b"x" * (10**7 + 1)).status_code == 413

    def pieces() -> Iterator[bytes]:
        yield b"--B\r\n\r\n" + bytes(128) + b"DICM"
        for _ in range(11):
            yield bytes(10**6)

    try:
        answer = requests.post(
            server.url(), data=pieces(), headers={"Content-Type": RELATED, **AUTH}, timeout=20
        )
        assert answer.status_code == 413
    except requests.ConnectionError:
        pass  # the answer came while we still sent
    wait_until(lambda: server.leftovers() == [])


def test_a_sender_that_ends_in_the_middle_leaves_what_was_whole_and_nothing_else(
    server: Server, tmp_path: Path
) -> None:
    first, second = one(tmp_path), one(tmp_path)
    body = body_of(first, second)[:-2000]
    with socket.create_connection((HOST, server.port)) as sender:
        head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        head += f"Content-Type: {RELATED}\r\nContent-Length: {len(body) + 2000}\r\n\r\n"
        sender.sendall(head.encode() + body)
    wait_until(lambda: server.leftovers() == [])
    assert data_set_of(second) not in server.data_sets()


def test_a_slow_body_and_a_full_disk_and_too_many_requests_are_sent_away(tmp_path: Path) -> None:
    with serving(tmp_path, patience=timedelta(seconds=0.2), most_requests=1) as slow:
        head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        head += f"Content-Type: {RELATED}\r\nContent-Length: 1000\r\n\r\n--B"
        with socket.create_connection((HOST, slow.port)) as sender:
            sender.sendall(head.encode())
            sender.settimeout(0.05)
            answer = b""
            with suppress(ConnectionError):
                while not answer:  # a byte now and then is not enough
                    sender.sendall(b"B")
                    with suppress(TimeoutError):
                        answer = sender.recv(100)
            assert answer.startswith(b"HTTP/1.1 408")
    with serving(tmp_path, most_requests=0) as busy:
        answer = busy.post(body_of(b""))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    with serving(tmp_path, refuse_below=10**18) as full:
        answer = full.post(body_of(one(tmp_path)))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert full.spool.new_entries() == ()
