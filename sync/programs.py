"""A program from the centre: is it the one that was asked for, signed, and readable here?

Owns that check. Never puts a program in force.
"""

from __future__ import annotations

import hashlib

from loyalty.program import Program, ProgramError, program_from_json
from sync.signing import is_signed
from sync.wire import SignedProgram


class ProgramUnusableError(ValueError):
    """A program cannot be put in force; the one before stays. The message says whose turn it is."""


def verified_program(signed: SignedProgram, wanted: str, key: str) -> Program:
    """The program with the hash `wanted`, signed with the public key `key` (unpadded URL-safe base64)."""
    document = signed.program.encode()
    if not is_signed(document, signed.signature, key):
        raise ProgramUnusableError(
            "the program is not signed by the centre this register was enrolled with; publish it again there"
        )
    try:
        program = program_from_json(document)
    except ProgramError as error:
        raise ProgramUnusableError(f"this version cannot read the program ({error}); update the register") from error
    # Of the bytes as they are signed: a later version may have more defaults to write out.
    if hashlib.sha256(document).hexdigest() != wanted:
        raise ProgramUnusableError("the centre sent another program than the one in force; publish it again there")
    return program
