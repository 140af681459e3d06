"""`tillside parse-scan`: what a scanned code is, with no configuration and no enrolment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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


def parse_capture_command(*, file: str, as_json: bool) -> int:
    """Print `{"scans":[…]}` of a capture: each scan with the `ms` at which it was over.

    What was cut off or torn is no scan; `dropped` counts it by reason. Exit codes: 0 done, 1 a scan has problems or
    was dropped, 2 the file is no capture of a scanner.
    """
    from drivers.capture import MAX_CAPTURE_BYTES, CaptureError, decode_capture
    from drivers.capture_codes import codes_of

    try:
        with Path(file).open("rb") as source:
            capture = decode_capture(source.read(MAX_CAPTURE_BYTES + 1))
        if capture.header.kind != "scanner":
            raise CaptureError("a capture of a relay: `tillside decode` reads it")
        heard = codes_of(capture)
    except OSError as error:
        sys.stderr.write(f"tillside parse-scan: {file}: {error.strerror or error}. Name a file that can be read.\n")
        return USAGE
    except CaptureError as error:
        sys.stderr.write(f"tillside parse-scan: {file}: {error}.\n")
        return USAGE
    scans = [(code.ms, parse_scan(code.said)) for code in heard.codes]
    answer: dict[str, object] = {"scans": [{"ms": ms, **scan.document()} for ms, scan in scans]}
    if heard.dropped:
        answer["dropped"] = heard.dropped
    document = msgspec.json.encode(answer)
    print((document if as_json else msgspec.json.format(document)).decode())
    return PROBLEM if heard.dropped or any(scan.problems for _, scan in scans) else DONE
