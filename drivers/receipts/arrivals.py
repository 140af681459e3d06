"""What a source of receipts other than a printer's spool is to the agent: whole documents, each with a mark.

Owns that port. A mark says what need not be given again; the agent keeps it in the transaction that books the document,
and hands all marks back at the next reading. So a source keeps no state of its own between runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from drivers.receipts.decode import Decoded
from loyalty.instant import Instant


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a document cannot be read. `detail` says what to do about it."""

    reason: str
    detail: str


class Arrival(Struct, frozen=True, kw_only=True):
    """One whole document. `mark` is kept under `name`, in place of the one before it.

    `decoded` is there where the source reads its documents itself. A `known` one was booked before: it only has to be
    finished with.
    """

    name: str
    mark: str
    captured: Instant
    payload: bytes = b""
    decoded: Decoded | None = None
    refused: Refusal | None = None
    known: bool = False


class ArrivalSource(Protocol):
    """Where documents come from (`drivers.receipts.folder_source.FolderReader`)."""

    def read(self, marks: Mapping[str, str]) -> Sequence[Arrival]:
        """The next documents, a bounded number of them, that `marks` do not cover; none when all is read.

        Blocks. Raises OSError whose message tells the operator what to do.
        """
        ...

    def finish(self, arrival: Arrival, *, understood: bool) -> None:
        """`arrival` is kept elsewhere. Blocks, and never fails: what cannot be done now is tried again later."""
        ...

    async def changed(self) -> None:
        """Returns when there may be new documents."""
        ...

    def close(self) -> None:
        """Lets go of whatever is open."""
        ...
