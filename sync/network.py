"""The way to the centre besides its address: a proxy, and a CA of the shop's own network.

Owns which proxy a request takes. Never opens a connection, and never says a proxy's password.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from msgspec import Struct

SYSTEM_PROXY = "system"
NO_PROXY = "none"
# The certificates of every public CA are a quarter of this.
MAX_CA_BYTES: Final = 1024 * 1024
# What a proxy is spoken to by, with TLS where the system's settings say so.
_OF_SYSTEM: Final = ("http", "https")
_NO_ADDRESS: Final = "is no address of a proxy (signs in a password are written %3F, %23, %2F, %40)"
_CERTIFICATES: Final = "name a file of certificates in PEM, or take it out"


class NetworkSettingError(ValueError):
    """A setting of the way to the centre cannot be used. The message says what to change."""

    def __init__(self, key: str, problem: str, remedy: str) -> None:
        super().__init__(f"centre.{key}: {problem}: {remedy}")
        self.key = key
        self.problem = problem
        self.remedy = remedy


class Way(Struct, frozen=True, kw_only=True):
    """`proxy` is `system`, `none` or an address; `ca_pem` is trusted beside the centre's own CA."""

    proxy: str = SYSTEM_PROXY
    ca_pem: str = ""


def way_of(proxy: str, ca_file: Path | None) -> Way:
    """From the settings. Raises NetworkSettingError."""
    if proxy not in (SYSTEM_PROXY, NO_PROXY):
        address, problem = _judged(proxy, ("http",))
        if problem or address.port is None:
            raise NetworkSettingError(
                "proxy",
                f"{proxy.rpartition('@')[2]!r} {problem or 'has no port'}",
                f"give http://HOST:PORT, `{SYSTEM_PROXY}` or `{NO_PROXY}`",
            )
    return Way(proxy=proxy, ca_pem=_certificates(ca_file) if ca_file is not None else "")


def _certificates(file: Path) -> str:
    """The file's text, once TLS could be set up with it. Raises NetworkSettingError."""
    import ssl  # noqa: PLC0415 - half of what a light command takes to start

    try:
        if not file.is_file():
            raise NetworkSettingError("ca_file", f"'{file}' is no file, or is not there", _CERTIFICATES)
        with file.open("rb") as stream:
            content = stream.read(MAX_CA_BYTES + 1)
    except OSError as error:
        raise NetworkSettingError("ca_file", f"'{file}' cannot be read ({error.strerror})", _CERTIFICATES) from error
    try:
        if len(content) > MAX_CA_BYTES:
            raise ValueError("it is too long")
        pem = content.decode("ascii")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=pem)
        if not context.cert_store_stats()["x509"]:
            raise ValueError("there is none")
    except (ValueError, ssl.SSLError) as error:
        raise NetworkSettingError(
            "ca_file", f"'{file}' holds no certificates that can be used", _CERTIFICATES
        ) from error
    return pem


def proxy_for(
    url: str,
    way: Way,
    *,
    proxies: Callable[[], dict[str, str]] = getproxies,
    bypassed: Callable[[str], object] = proxy_bypass,
) -> str | None:
    """The proxy for `url`; None for the direct way.

    The system's is what HTTPS_PROXY and NO_PROXY say, on Windows the system's own settings too. Raises
    NetworkSettingError where that is none which can be used.
    """
    if way.proxy == NO_PROXY:
        return None
    if way.proxy != SYSTEM_PROXY:
        return way.proxy
    found = proxies().get("https")
    address = urlsplit(url)
    if not found or bypassed(address.netloc) or bypassed(address.hostname or ""):
        return None
    proxy = found if "://" in found else f"http://{found}"
    if problem := _judged(proxy, _OF_SYSTEM)[1]:
        raise NetworkSettingError(
            "proxy",
            f"the system's (HTTPS_PROXY) {proxy.rpartition('@')[2]!r} {problem}",
            "correct that, or give http://HOST:PORT here",
        )
    return proxy


def without_password(proxy: str) -> str:
    """How a proxy is named to people."""
    return proxy.rpartition("@")[2] if "@" in proxy else proxy.partition("://")[2] or proxy


def _judged(proxy: str, kinds: tuple[str, ...]) -> tuple[SplitResult, str]:
    """A proxy's address, and what is wrong with it: empty where it can be used."""
    nothing = urlsplit("")
    try:
        address = urlsplit(proxy)
        port, host = address.port, address.hostname
    except ValueError:
        return nothing, _NO_ADDRESS
    if "://" in proxy and address.scheme not in kinds:
        return nothing, f"is a proxy of {address.scheme!r}, which is not supported: one of HTTP is"
    if (
        address.scheme not in kinds
        or not host
        or port == 0
        or address.path.strip("/")
        or address.query
        or address.fragment
    ):
        return nothing, _NO_ADDRESS
    return address, ""
