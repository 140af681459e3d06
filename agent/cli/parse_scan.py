"""`tillside parse-scan`: what a scanned code is, with no configuration and no enrolment."""

from __future__ import annotations

import os
import sys

import msgspec

from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from drivers.scanning.scan import parse_scan


def parse_scan_command(*, text: str, hex: bool, as_json: bool) -> int:  # noqa: A002 — named as its option
    """Print the scan that `text` is, or its bytes in hexadecimal with `hex`; on one line with `as_json`.

    Exit codes: 0 done, 1 the scan has problems, 2 `text` is not hexadecimal.
    """
    try:
        raw = bytes.fromhex(text) if hex else os.fsencode(text)
    except ValueError:
        sys.stderr.write(
            "tillside parse-scan: the text is not hexadecimal. Give two digits for each byte, such as 5d4530 for ]E0.\n"
        )
        return USAGE
    scan = parse_scan(raw)
    document = msgspec.json.encode(scan.document())
    print((document if as_json else msgspec.json.format(document)).decode())
    return PROBLEM if scan.problems else DONE
