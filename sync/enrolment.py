"""Where a register belongs: the enrolment code, and the file that stays.

Owns the code's form and `enrolment.json`. Never keeps the token or the private key in that file: the key is
with the `KeyKeeper`. Never talks to a centre (`sync.enrolling` does), so that commands which only ask where
this register belongs start light.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import UNSET, Struct, UnsetType

from loyalty.undecodable import UNDECODABLE
from sync import base64url
from sync.durable import private_folder, write_private
from sync.keys import DEVICE_KEY, DEVICE_KEY_BYTES, KeyKeeper
from sync.records import HexDigest
from sync.wire import PublicKey

# `drivers.scanning.enrolment_codes` knows it, too.
CODE_PREFIX = "tillside-enrol:"
# A code is a URL, a token and a digest; a QR code of this length is still read by any scanner.
MAX_CODE_CHARS = 2048
FILE_NAME = "enrolment.json"


class EnrolmentCode(Struct, frozen=True, kw_only=True):
    """What an operator types or scans. `ca_sha256` is over the DER form of the centre's CA certificate; `asks_register`
    where the register has to say which one of its store it is.
    """

    url: str
    token: str
    ca_sha256: HexDigest
    asks_register: bool | UnsetType = UNSET


class Enrolment(Struct, frozen=True, kw_only=True):
    """Which register of which centre this is. `key` names the device's private key at the keeper."""

    device: str
    store: str
    register: str
    url: str
    ca_pem: str
    centre_epoch: str
    program_key: PublicKey
    key: str = DEVICE_KEY


class EnrolmentError(Exception):
    """The register could not be enrolled, or does not know where it belongs. The message says what to do."""


class CodeMalformedError(EnrolmentError):
    """What was given is no enrolment code."""


class AddressRefusedError(EnrolmentError):
    """A text is no address at which a register can reach its centre."""


class TokenRefusedError(EnrolmentError):
    """The centre does not take this code: used, expired or unknown."""


class RegisterUnsaidError(EnrolmentError):
    """The code leaves open which register of its store this is, and nobody said."""


class CentreMismatchError(EnrolmentError):
    """Whoever answers at the code's address has not the CA that the code names."""


class EnrolmentUnreachableError(EnrolmentError):
    """The centre did not answer. `why` is for who tries again by itself; the message says what a person does then."""

    def __init__(self, why: str, then: str = "then give the same code again") -> None:
        super().__init__(f"{why}; {then}")
        self.why = why


class EnrolmentAnswerError(EnrolmentError):
    """What answered is no centre, or one of another version."""


class AlreadyEnrolledError(EnrolmentError):
    """This register belongs to a centre already."""


class NotEnrolledError(EnrolmentError):
    """This register belongs to no centre yet."""


class EnrolmentDamagedError(EnrolmentError):
    """`enrolment.json` cannot be read."""


def code_text(code: EnrolmentCode) -> str:
    """The one line that `tillside enroll` takes. Raises AddressRefusedError."""
    _check_address(code.url)
    return CODE_PREFIX + base64url.encoded(msgspec.json.encode(code))


def parse_code(text: str) -> EnrolmentCode:
    """The code in `text`, as typed or scanned. Raises CodeMalformedError."""
    text = "".join(text.split())
    if not text.startswith(CODE_PREFIX) or len(text) > MAX_CODE_CHARS:
        raise CodeMalformedError(
            f"this is no enrolment code; one starts with {CODE_PREFIX} and is printed by "
            "`tillside-central enrolment create`"
        )
    packed = text.removeprefix(CODE_PREFIX)
    try:
        code = msgspec.json.decode(base64url.decoded(packed), type=EnrolmentCode)
    except ValueError as error:
        raise CodeMalformedError("the enrolment code is incomplete; copy the whole line again") from error
    try:
        _check_address(code.url)
    except AddressRefusedError as error:
        raise CodeMalformedError("the enrolment code names no https address; make a new one at the centre") from error
    return code


def _check_address(url: str) -> None:
    try:
        address = urlsplit(url)
        usable = address.scheme == "https" and address.hostname and address.port != 0
        usable = usable and not (address.path.strip("/") or address.query or address.fragment or address.username)
    except ValueError:
        usable = False
    if not usable:
        raise AddressRefusedError(
            f"{url!r} is no address for registers: they connect over TLS only; "
            "give https://HOST:PORT, such as https://centre.example:8443"
        )


def load_enrolment(folder: Path) -> Enrolment:
    """The enrolment in `folder`. Raises NotEnrolledError, EnrolmentDamagedError."""
    path = folder / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Enrolment)
    except FileNotFoundError:
        raise NotEnrolledError(
            "this register is not enrolled; make a code with `tillside-central enrolment create` at the centre "
            "and give it to `tillside enroll`"
        ) from None
    except PermissionError as error:
        raise EnrolmentDamagedError(f"{path} may not be read by this user: use sudo, or be the agent's user") from error
    except (OSError, *UNDECODABLE) as error:
        raise EnrolmentDamagedError(
            f"{path} cannot be read ({error}); put it back from a backup, or enrol anew with "
            "`tillside enroll --replace`: what waits in the queue is kept"
        ) from error


def device_key(enrolment: Enrolment, keeper: KeyKeeper) -> Ed25519PrivateKey:
    """The private key this register signs with. Raises EnrolmentDamagedError, SecretError."""
    seed = keeper.find(enrolment.key, DEVICE_KEY_BYTES)
    if seed is None:
        raise EnrolmentDamagedError(
            f"the device's key is not among the {keeper.where()}; put it back, or enrol anew with "
            "`tillside enroll --replace`: what waits in the queue is kept"
        )
    return Ed25519PrivateKey.from_private_bytes(seed)


def save_enrolment(folder: Path, enrolment: Enrolment) -> None:
    """A power cut leaves the old enrolment or the new one."""
    private_folder(folder)
    write_private(folder / FILE_NAME, msgspec.json.format(msgspec.json.encode(enrolment), indent=2) + b"\n")
