"""The way to the centre besides its address: a proxy, and a CA of the shop's own network.

Owns which proxy a request takes. Never opens a connection, and never says a proxy's password.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from msgspec import Struct

SYSTEM_PROXY = "system"
NO_PROXY = "none"


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
    if proxy not in (SYSTEM_PROXY, NO_PROXY) and not _usable(proxy):
        raise NetworkSettingError(
            "proxy",
            f"{proxy.rpartition('@')[2]!r} is no address of a proxy",
            f"give http://HOST:PORT, `{SYSTEM_PROXY}` or `{NO_PROXY}`",
        )
    try:
        ca_pem = ca_file.read_text("ascii") if ca_file is not None else ""
    except (OSError, ValueError) as error:
        raise NetworkSettingError(
            "ca_file", f"'{ca_file}' cannot be read as PEM ({error})", "name a file of certificates, or take it out"
        ) from error
    return Way(proxy=proxy, ca_pem=ca_pem)


def proxy_for(
    url: str,
    way: Way,
    *,
    proxies: Callable[[], dict[str, str]] = getproxies,
    bypassed: Callable[[str], object] = proxy_bypass,
) -> str | None:
    """The proxy for `url`; None for the direct way.

    The system's is what HTTPS_PROXY and NO_PROXY say, on Windows the system's own settings too.
    """
    if way.proxy == NO_PROXY:
        return None
    if way.proxy != SYSTEM_PROXY:
        return way.proxy
    found = proxies().get("https")
    address = urlsplit(url)
    if not found or bypassed(address.netloc) or bypassed(address.hostname or ""):
        return None
    return found if "://" in found else f"http://{found}"


def without_password(proxy: str) -> str:
    """How a proxy is named to people."""
    return proxy.rpartition("@")[2] if "@" in proxy else proxy.partition("://")[2] or proxy


def _usable(proxy: str) -> bool:
    try:
        address = urlsplit(proxy)
        return address.scheme == "http" and bool(address.hostname) and address.port is not None
    except ValueError:
        return False
