"""The CA that registers pin, and the server certificate renewed from it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from central.certificates import RENEW_BEFORE, SERVER_LIFE, ca_sha256, ensure_certificates
from central.folder import DataFolder, FolderError
from tests.central.till import NOON


def _server(folder: DataFolder) -> x509.Certificate:
    return x509.load_pem_x509_certificate(folder.server_certificate.read_bytes())


def test_the_server_certificate_names_its_hosts(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.create()
    ensure_certificates(folder, ("centre.example", "192.0.2.7"), NOON)
    names = _server(folder).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"localhost", "centre.example"}
    assert {str(address) for address in names.get_values_for_type(x509.IPAddress)} == {
        "127.0.0.1",
        "::1",
        "192.0.2.7",
    }
    ca = x509.load_pem_x509_certificate(folder.ca_certificate.read_bytes())
    _server(folder).verify_directly_issued_by(ca)


def test_it_is_renewed_before_its_end_from_the_same_ca(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.create()
    ensure_certificates(folder, (), NOON)
    pinned, first = ca_sha256(folder), _server(folder)
    ensure_certificates(folder, (), NOON + SERVER_LIFE - RENEW_BEFORE)
    assert _server(folder) == first
    ensure_certificates(folder, (), NOON + SERVER_LIFE - RENEW_BEFORE + timedelta(seconds=1))
    assert _server(folder) != first
    assert ca_sha256(folder) == pinned


def test_a_lost_ca_is_not_replaced_behind_the_registers_backs(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.create()
    ensure_certificates(folder, (), NOON)
    key = folder.ca_key.read_bytes()
    folder.ca_certificate.unlink()
    with pytest.raises(FolderError, match="from a backup"):
        ensure_certificates(folder, (), NOON)
    assert folder.ca_key.read_bytes() == key


def test_it_is_renewed_when_the_hosts_change(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.create()
    ensure_certificates(folder, (), NOON)
    first = _server(folder)
    ensure_certificates(folder, ("centre.example",), NOON)
    assert _server(folder) != first
