"""Films from addresses: resumed, checked, and never anything but the whole film under its name."""

import contextlib
import hashlib
import json
import re
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from refilm.core.errors import RefilmError
from refilm.sources.download import fetch
from refilm.sources.film_identity import origin_path
from tests.conftest import command, refused
from tests.helpers import wait_for
from tests.http_site import FILM, Site, served

SUM = hashlib.sha256(FILM).hexdigest()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Attempts follow each other at once."""
    monkeypatch.setattr("refilm.sources.download.MAX_PAUSE_SECONDS", 0)


@pytest.fixture
def film(tmp_path) -> Path:
    return tmp_path / "downloads" / "film.mkv"


def test_a_film_comes_whole_with_its_record_beside_it(film):
    with served(Site()) as address:
        assert fetch(address, film, SUM) == SUM
    assert film.read_bytes() == FILM
    record = json.loads(origin_path(film).read_text())
    assert (record["bytes"], record["sha256"]) == (len(FILM), SUM) and "secret" not in record["address"]
    assert sorted(file.name for file in film.parent.iterdir()) == ["film.mkv", "film.mkv.json"]


def test_a_connection_that_drops_repeatedly_costs_little_more_than_the_film(film):
    site = Site(breaks=[400_000, 700_000, 0, 100_000, 1_000_000])
    with served(site) as address:
        fetch(address, film)
    assert film.read_bytes() == FILM
    assert len(site.asked) == 6 and all(site.asked[1:])
    assert site.sent <= len(FILM) + 5 * 2**17  # a little of what is there is asked for again, to see that it is the same


def test_an_interrupted_download_resumes_in_the_next_run(film):
    site = Site(breaks=[2_000_000] + [0] * 50)
    with served(site) as address:
        with pytest.raises(RefilmError, match=r"the 2\.0 MB so far are kept: run the same command again") as error:
            fetch(address, film, stall_timeout=0)
        assert not film.exists() and "secret" not in str(error.value) and "\n" not in str(error.value)
        site.breaks.clear()
        fetch(address, film, SUM)
    assert film.read_bytes() == FILM and site.sent < len(FILM) + 2**17


def test_a_server_without_ranges_is_asked_from_the_beginning(film):
    site = Site(breaks=[1_000_000, 2_000_000], ranges=False)
    with served(site) as address:
        fetch(address, film)
    assert film.read_bytes() == FILM and len(site.asked) == 3


def test_a_server_that_always_fails_at_the_same_byte_is_given_up(film):
    with (
        served(Site(breaks=[1_000_000] * 1000, ranges=False)) as address,
        pytest.raises(RefilmError, match="could not be downloaded in"),
    ):
        fetch(address, film, stall_timeout=0.3)
    assert not film.exists()


OTHER = np.random.default_rng(1).bytes(3_000_000)


@pytest.mark.parametrize(
    "site",
    [
        Site([FILM, OTHER], breaks=[1_500_000], etag=['"one"', '"two"']),
        Site([FILM, OTHER], breaks=[1_500_000], etag=None),
        Site([FILM, OTHER], breaks=[1_500_000]),
        Site([FILM, OTHER, OTHER + b"longer"], breaks=[1_500_000, 2_000_000], etag=None),
        Site([FILM, OTHER[:1_000_000]], breaks=[1_500_000], etag=None),
    ],
    ids=["etag", "no-etag", "lying-etag", "longer", "shorter"],
)
def test_a_film_that_changes_between_two_attempts_is_never_mixed(film, site):
    with served(site) as address:
        fetch(address, film)
    assert film.read_bytes() == site.films[-1]


def test_a_weak_etag_is_no_reason_to_start_over(film):
    site = Site(breaks=[1_500_000], etag='W/"one"')
    with served(site) as address:
        fetch(address, film)
    assert film.read_bytes() == FILM and site.sent < len(FILM) + 2**17


@pytest.mark.parametrize(
    "page",
    [b"<!DOCTYPE html><html>Sign in", b"\n <html>", b"#EXTM3U\nfile:///etc/passwd", b'{"error": 1}', b"<?xml?><MPD/>"],
)
def test_a_page_or_a_playlist_is_refused(film, page):
    with (
        served(Site(page, kind="video/mp4")) as address,
        pytest.raises(RefilmError, match="not a film: give the address of the film file itself"),
    ):
        fetch(address, film)
    assert list(film.parent.iterdir()) == []


@pytest.mark.parametrize("status", [404, 403, 410, 401])
def test_a_permanent_error_is_not_retried(film, status):
    site = Site(status=[status])
    with (
        served(site) as address,
        pytest.raises(RefilmError, match=rf"the server answers {status} .*: correct the film's source"),
    ):
        fetch(address, film)
    assert len(site.asked) == 1 and not film.exists()


def test_an_address_that_leads_to_a_file_of_this_machine_is_refused(film):
    with served(Site(status=[302])) as address, pytest.raises(RefilmError, match="this address cannot be requested"):
        fetch(address, film)
    assert not film.exists()


def test_a_busy_server_is_asked_again(film):
    site = Site(status=[503, 429, 500, 200])
    with served(site) as address:
        fetch(address, film, SUM)
    assert len(site.asked) == 4


def test_a_response_without_a_length_ends_with_the_connection(film):
    with served(Site(length=False)) as address:
        fetch(address, film, SUM)
    assert film.read_bytes() == FILM


def test_a_refused_connection_is_one_line_soon(film):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = command("fetch_film", f"--source=http://127.0.0.1:{port}/x.mkv", f"--film={film}", "--stall-timeout=0")
    assert "could not be downloaded in 1 attempts (" in refused(done) and "Connection refused" in refused(done)
    assert not film.exists()


def test_a_wrong_sum_is_one_line_with_both_and_no_film(film):
    wrong, site = "0" * 64, Site()
    with served(site) as address:
        with pytest.raises(RefilmError) as error:
            fetch(address, film, wrong)
        assert SUM in str(error.value) and wrong in str(error.value) and not film.exists()
        fetch(address, film, SUM)  # the expected sum was wrong: the download is checked again
        assert film.read_bytes() == FILM and len(site.asked) == 1


def test_a_wrong_film_is_fetched_again_by_the_same_command(film):
    site = Site([OTHER, FILM], etag=None)
    with served(site) as address:
        expected = pytest.raises(RefilmError, match="correct sha256")
        with expected:
            fetch(address, film, SUM)
        fetch(address, film, SUM)
    assert film.read_bytes() == FILM


def test_two_downloads_do_not_write_one_film(film):
    site = Site()
    site.answers.clear()
    with served(site) as address:
        first = threading.Thread(target=fetch, args=(address, film, SUM))
        first.start()
        wait_for(lambda: site.asked)
        with pytest.raises(RefilmError, match="another process is downloading this film"):
            fetch(address, film)
        site.answers.set()
        first.join()
    assert film.read_bytes() == FILM


# --- s3


@pytest.fixture(scope="module")
def bucket():
    """A real S3 server on this machine with the film in it: moto's."""
    import botocore.session
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        client = botocore.session.Session().create_client("s3")
        client.create_bucket(Bucket="films")
        client.put_object(Bucket="films", Key="a folder/film #1 100%.mkv", Body=FILM)
        yield client
    server.stop()


ADDRESS = "s3://films/a folder/film #1 100%.mkv"


def test_a_film_comes_from_s3(bucket, film):
    assert fetch(ADDRESS, film, SUM) == SUM and film.read_bytes() == FILM


@contextmanager
def dropping_proxy(port: int, breaks: list[int]):
    """A proxy for a port of this machine; of each connection in turn only so many bytes come back."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def forward(source, target, limit, first):
        with contextlib.suppress(OSError):
            while block := source.recv(min(1 << 16, limit)):
                if first is not None and not first:
                    asked.append(block)
                first = block
                target.sendall(block)
                limit -= len(block)
                if limit <= 0:
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                limit = breaks.pop(0) if breaks else 1 << 40
                threading.Thread(target=forward, args=(client, server, 1 << 40, b""), daemon=True).start()
                threading.Thread(target=forward, args=(server, client, limit, None), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], asked
    finally:
        listener.close()


def test_a_film_from_s3_resumes_where_the_connection_dropped(bucket, film, monkeypatch):
    port = int(bucket.meta.endpoint_url.rpartition(":")[2])
    with dropping_proxy(port, [2_000_000, 500_000]) as (proxy, asked):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{proxy}")
        fetch(ADDRESS, film, SUM)
    assert film.read_bytes() == FILM
    begins = [int(found[1]) for request in asked if (found := re.search(rb"Range: bytes=(\d+)-", request))]
    assert len(begins) == 2 and 1_800_000 < begins[0] < 2_000_000 and 2_200_000 < begins[1] < 2_500_000


def test_a_public_film_in_s3_needs_no_credentials(bucket, film, monkeypatch, tmp_path):
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(key)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bucket.put_object_acl(Bucket="films", Key=ADDRESS.removeprefix("s3://films/"), ACL="public-read")
    assert fetch(ADDRESS, film, SUM) == SUM


def test_a_film_that_changed_on_s3_is_never_mixed(bucket, film, monkeypatch):
    bucket.put_object(Bucket="films", Key="changing.mkv", Body=FILM)
    port = int(bucket.meta.endpoint_url.rpartition(":")[2])
    with dropping_proxy(port, [1_000_000]) as (proxy, _), monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{proxy}")
        with pytest.raises(RefilmError, match="MB so far are kept"):
            fetch("s3://films/changing.mkv", film, stall_timeout=0)
    bucket.put_object(Bucket="films", Key="changing.mkv", Body=OTHER)
    fetch("s3://films/changing.mkv", film)
    assert film.read_bytes() == OTHER


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://films/no such film.mkv", r"NoSuchKey.*: correct the film's source, or check your AWS configuration"),
        ("s3://nobucket-here/film.mkv", r"NoSuchBucket.*: correct the film's source"),
        ("s3://films", r"not a valid S3 address: write s3://bucket/path"),
    ],
)
def test_a_missing_s3_object_is_one_line(bucket, film, address, words):
    with pytest.raises(RefilmError, match=words) as error:
        fetch(address, film)
    assert "\n" not in str(error.value) and not film.exists()
