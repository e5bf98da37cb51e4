"""A journal whose server wants TLS, before or after its greeting."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio
from tests.support.fleet import numbered, publish
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.service import open_service
from tests.support.waiting import until


@pytest.mark.parametrize("first", [True, False, "auto"])
async def test_a_journal_behind_tls(
    nats_server: MistreatedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: object
) -> None:
    """An address with `tls://` reaches a journal, also if its handshake comes first."""
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes the certificate, is not installed")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert)
    await trio.run_process((*make.split(), *names), capture_stdout=True, capture_stderr=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    tls = {"cert_file": str(cert), "key_file": str(key), "handshake_first": first}
    async with JournalServer.run(tls=tls) as journal:
        url = {"NATSTREAM_JOURNAL_URL": journal.url.replace("nats://", "tls://")}
        async with open_service(nats_server, **journal.environ | url) as service:
            await service.state("journal", "up")
            await publish(nats_server, numbered(0, 10))
            store = service.service.core.journal
            assert store is not None
            await until(lambda: store.statistics().stored == 10)
