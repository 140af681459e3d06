"""What to do about a receipt that could not be used, by the code that says why.

Owns the words that a person is told: at the register, at the centre and in their JSON alike. Never decides what is a
problem: readers, sources, booking and the centre do, each with a code that stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REMEDIES: Final[Mapping[str, str]] = {
    # A document of which no receipt came.
    "unknown_layout": (
        "No reader knows this layout. If it is a receipt, choose its template, format or code page under "
        "[[receipts]] in the settings and start the agent again: it reads this by itself. If it is none, resolve "
        "it as not-a-receipt."
    ),
    "reader_broken": (
        "An installed reader does not work: update or uninstall the package it came with and start the agent "
        "again: it reads this by itself."
    ),
    "reader_failed": (
        "A reader has a fault: report it with the bytes that `tillside queue export` gives. After an update, "
        "`tillside queue retry` reads it again."
    ),
    "decoder_failed": (
        "A reader has a fault: report it with the bytes that `tillside queue export` gives. After an update, "
        "`tillside queue retry` reads it again."
    ),
    "torn": (
        "The receipt is incomplete, or its template does not know how its total is written. Where the paper has "
        "all of it, correct the template and start the agent again: it reads this by itself. Else print the "
        "receipt again at the till, and dismiss the item; raise the relay's --idle-ms if the till pauses within "
        "receipts."
    ),
    "no_total": (
        "The receipt's total cannot be read. Correct the template or the code page and start the agent again: it "
        "reads this by itself; else print it again."
    ),
    "no_time": (
        "The receipt's time cannot be read. Correct the template or the code page and start the agent again: it "
        "reads this by itself; else print it again."
    ),
    "no_number": (
        "The receipt's number cannot be read. Correct the template or the code page and start the agent again: it "
        "reads this by itself; else print it again."
    ),
    "bad_amount": (
        "An amount cannot be read. Correct the template or the code page and start the agent again: it reads this "
        "by itself; else print it again."
    ),
    "raster_only": (
        "The till prints its text as a picture: choose a text driver (Generic / Text Only) there. For this "
        "receipt, scan the fiscal code on the paper, and dismiss the item."
    ),
    "bad_code": "The fiscal code is damaged: scan or print it again, and dismiss the item.",
    "out_of_bounds": (
        "A value is beyond what a receipt can hold. Print the receipt again at the till. If that cannot be done, "
        "dismiss the item."
    ),
    "bad_json": (
        "The file is no JSON of receipts. An answer of a fiscal processor is read by its journal alone: let the POS "
        "ask for the journal and keep it in the answer. Else correct the POS's export or the source's format, and "
        "start the agent again: it reads this by itself."
    ),
    "bad_receipt": "A receipt in the file is not in the documented shape: correct the POS's export and send it again.",
    "bad_xml": (
        "The file is no XML that can be read. Correct the POS's export or the source's format and start the agent "
        "again: it reads this by itself."
    ),
    "dtd_refused": (
        "The file declares a DTD, which is never read: let the POS write its XML without one, and send it again."
    ),
    "no_transaction": (
        "The file holds no transaction. Check the source's format and the POS's export and start the agent again: "
        "it reads this by itself."
    ),
    "bad_header": (
        "The file's first line does not name the columns that the source's mapping names. Correct the mapping or "
        "the export and start the agent again: it reads this by itself."
    ),
    "bad_row": (
        "A row has not the columns of the file: correct the POS's export and send it again, and dismiss the item."
    ),
    "bad_value": (
        "A column holds something else than the mapping says. Correct the mapping or the export and start the "
        "agent again: it reads this by itself."
    ),
    "too_large": "The document is too large: let the POS write smaller files, and send it again.",
    "too_many": "The document holds too many receipts: let the POS write smaller files, and send it again.",
    "too_long": (
        "A sheet has more lines than any receipt, and those beyond were not read: let the till cut its paper. What "
        "stands before them was read; dismiss the item."
    ),
    "too_dense": (
        "It is no till's paper: hardly anything but printer commands. If it is one, send it in with what the till is; "
        "else dismiss the item."
    ),
    # A file that was not opened, or a job that the relay could not keep whole.
    "unreadable": (
        "It cannot be read. A file: check its owner and mode, put it into the folder again, and dismiss the item. "
        "An entry at the centre: update the centre, then re-evaluate."
    ),
    "not_a_file": "It is no plain file: remove it from the folder, and dismiss the item.",
    "linked_file": "It is a link: put the file itself into the folder, and dismiss the item.",
    "spool_damaged": (
        "The spool was damaged on the disk: check the disk. Print the receipt again at the till. If that cannot "
        "be done, dismiss the item."
    ),
    "job_too_long": "The print job was longer than the relay keeps. Print the receipt alone, and dismiss the item.",
    "not_booked": (
        "Booking it failed: report the detail, and dismiss the item only after an update; then `tillside queue "
        "retry` reads it again."
    ),
    # A receipt that was read, and contradicts what is known.
    "conflict": (
        "A receipt with this identity is known with another total, minute or kind. Compare the two papers: if the "
        "till gives one number twice, correct the till; dismiss the item once you know which is right."
    ),
    "identity_conflict": "Two receipts of the file have one identity and differ: give each its own number.",
    # A receipt of a further source, which only adds to the authoritative one's.
    "unmatched": (
        "The authoritative source has no receipt of this total at this time. Look there whether the sale was "
        "made, and let it send the receipt again; then `tillside queue retry` matches this one. Else dismiss the "
        "item."
    ),
    "ambiguous": (
        "Several receipts have this total at this time. The sale is booked as the authoritative source has it; "
        "attach the member by hand if this one names one, and dismiss the item."
    ),
    # Problems that stand on a booked receipt.
    "total_mismatch": (
        "Lines, payments and total of this receipt do not add up, so it earns nothing. Correct the template or "
        "the code page and start the agent again: it reads this by itself, and it earns, once. If the paper "
        "itself is wrong, dismiss the item."
    ),
    "currency_unknown": (
        "The receipt prints no currency, so it earns nothing. Set [register] currency and start the agent again: "
        "it reads this by itself, and it earns, once."
    ),
    "time_zone_unknown": (
        "The receipt's time has no zone: set [register] time_zone. It earns; time rules go by its day."
    ),
    "weak_identity": (
        "Nothing on the receipt names it, so a reprint that differs in one byte would count again. Let the till "
        "print a number and a date, or name them in the template."
    ),
    "payment_card": (
        "A payment card number stood where the member's code belongs and was left out. Nothing is to be done."
    ),
    "currency_mismatch": (
        "The receipt is in another currency than the program and earns nothing. Nothing is to be done."
    ),
    "implausible_time": (
        "The receipt's time is one that not every clock can show: correct the till's clock, and give the receipt its "
        "right time."
    ),
    "too_many_points": (
        "The receipt would give more points than an entry can hold, and gives none: look for a rule that multiplies "
        "by mistake, and publish the program corrected."
    ),
    # What the centre published, and this version cannot use.
    "program_unusable": (
        "This version cannot use a program that the centre published, and goes on with the one before: update the "
        "register, or correct the program and publish it again."
    ),
    # The register's own store.
    "corrupt_store": "The store was damaged and is kept beside the new one: keep that file, and check the disk.",
    # Entries that the centre set aside.
    "identity": (
        "The receipt contradicts one that is known under the same identity. Compare the two; if the known one is "
        "wrong, correct it at its register. Dismiss this entry once you know which is right."
    ),
    "member": "The receipt belongs to another member already. Ask the shop whose it is; then dismiss this entry.",
    "erasure": (
        "A register says that it carried out an erasure that is not here. If the centre was restored without its "
        "`journal.jsonl`, erase the member again; else dismiss this entry."
    ),
    "two_members": (
        "Somebody joined with codes of two members, and counts as the first. If they are one person, run "
        "`tillside-central members merge`; then dismiss this entry."
    ),
    "correction": (
        "A corrected reading came for a receipt that is not here, has earned already, or is another receipt too. "
        "Re-evaluate once the receipt is here; else dismiss this entry."
    ),
    "redemption": (
        "A register tells of points that were spent, and names a member or a redemption that is not here, or another "
        "register's. Re-evaluate once that is here; where a register says it of another one, ask who set it up."
    ),
    "poison": "Applying the entry failed: report it with its text. After an update of the centre, re-evaluate.",
    "not_yet": "This version of the centre does not handle this kind of entry. Update the centre: it applies it then.",
    "unknown_kind": "The register is newer than the centre. Update the centre: it applies it then.",
    "digest_only": (
        "Its register could send its digest only, since something on the way takes no request of its size. At the "
        "register, `tillside queue list` names the entry and `tillside queue show eNUMBER --json` prints it; bring "
        "that file here with `tillside-central quarantine body ITEM FILE`. Raise the limit of what stands on the way."
    ),
    "shared_identity": (
        "Two machines use one enrolment: a disk was copied. Enrol one of them anew (`tillside enroll --replace CODE`); "
        "what both sent counts then, within a minute. Where one is gone, run `tillside-central registers release`."
    ),
    "fork": (
        "A restored backup or a copied disk sent another history. The register sends what counts again by itself; "
        "see that only one machine uses this enrolment, then dismiss this entry."
    ),
}

_OTHER: Final = (
    "A reader of another maker says so; its maker knows more. After a correction, `tillside queue retry` reads it "
    "again."
)


def remedy_for(code: str) -> str:
    """What to do about `code`; a code that only a reader of another maker knows gets a general answer."""
    return REMEDIES.get(code, _OTHER)
