"""The centre's own certificate authority and the server certificate that registers check.

Owns how both are made and renewed. Registers pin the CA, so it lives as long as the installation; the
server's certificate is renewed from it by `serve`, with nothing to do at any register.
"""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from central.folder import DataFolder, FolderError
from sync.durable import write_private

CA_LIFE = timedelta(days=50 * 365)
SERVER_LIFE = timedelta(days=5 * 365)
RENEW_BEFORE = timedelta(days=365)
# A register's clock may be a little behind the machine that made the certificate.
BACKDATED = timedelta(days=2)
ALWAYS_NAMED = ("127.0.0.1", "::1", "localhost")


def ensure_certificates(folder: DataFolder, hosts: tuple[str, ...], now: datetime) -> bool:
    """Make what is missing; renew the server's certificate when its end is near or its hosts changed.

    Whether the server's certificate is a new one. Raises FolderError, OSError, ValueError.
    """
    if not folder.ca_certificate.exists():
        if folder.server_certificate.exists():
            raise FolderError(
                f"{folder.ca_certificate} is gone; take it from a backup: registers trust it alone. To begin with "
                f"another CA, and enrol every register anew, remove {folder.server_certificate.name} too"
            )
        _make_ca(folder, now)
    if not folder.server_certificate.exists() or _wants_renewal(folder, hosts, now):
        _make_server_certificate(folder, hosts, now)
        return True
    return False


def ca_sha256(folder: DataFolder) -> str:
    """SHA-256 (hexadecimal) of the CA certificate's DER form: what a register pins."""
    certificate = _certificate(folder.ca_certificate.read_bytes())
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def server_context(folder: DataFolder) -> ssl.SSLContext:
    """TLS for the device API: 1.2 or newer, our certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    present_certificate(context, folder)
    return context


def present_certificate(context: ssl.SSLContext, folder: DataFolder) -> None:
    """Let `context` present the certificate that is in the folder now, to connections that come from here on."""
    try:
        context.load_cert_chain(folder.server_certificate, folder.server_key)
    except (OSError, ssl.SSLError) as error:
        raise FolderError(
            f"the server's certificate cannot be used ({error}); remove server.pem and server.key in "
            f"{folder.path} and start again, which makes new ones from the same CA"
        ) from error


def _make_ca(folder: DataFolder, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tillside centre CA")])
    certificate = (
        _builder(name, name, key.public_key(), now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(folder.ca_key, _pem(key))
    write_private(folder.ca_certificate, certificate.public_bytes(Encoding.PEM))


def _make_server_certificate(folder: DataFolder, hosts: tuple[str, ...], now: datetime) -> None:
    ca = _certificate(folder.ca_certificate.read_bytes())
    ca_key = load_pem_private_key(folder.ca_key.read_bytes(), password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise FolderError(f"{folder.ca_key} is not the CA's key; take it from a backup")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tillside centre")])
    certificate = (
        _builder(subject, ca.subject, key.public_key(), now, SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in _names(hosts)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    write_private(folder.server_key, _pem(key))
    write_private(folder.server_certificate, certificate.public_bytes(Encoding.PEM))


def _wants_renewal(folder: DataFolder, hosts: tuple[str, ...], now: datetime) -> bool:
    certificate = _certificate(folder.server_certificate.read_bytes())
    if certificate.not_valid_after_utc - now < RENEW_BEFORE:
        return True
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return list(names) != [_general_name(host) for host in _names(hosts)]


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _names(hosts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*ALWAYS_NAMED, *hosts)))


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
