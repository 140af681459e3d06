"""Tables of the store and their migrations.

Owns the DDL; `PRAGMA user_version` counts the migrations applied. sqlite-utils runs them, and is imported
only when there is one to run: it costs a register's start 0.1 s.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlcipher3 import dbapi2

from sync.store.errors import StoreTooNewError

if TYPE_CHECKING:
    from sqlite3 import Connection

    from sqlite_utils import Database as Tables

_MIGRATION_SET = "tillside"
# The name in `meta` of the least number of migrations that a program has to know.
READABLE_FROM = "readable_from"

Migration = tuple[str, tuple[str, ...]]
"""A name that never changes, and its statements."""

_FIRST: Migration = (
    "first",
    (
        # What the register is: device, store, register, node of its clock.
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
        # The outbox. Rows never change: numbering, chain and state follow from `epochs` and `outcomes`.
        """CREATE TABLE entries (
            number INTEGER PRIMARY KEY, key TEXT NOT NULL, kind TEXT NOT NULL, hlc TEXT NOT NULL,
            wall TEXT NOT NULL, salt TEXT NOT NULL, body BLOB NOT NULL) STRICT""",
        # seq = number − base; hash is the chain's h at `acked`; the live epoch has the greatest id.
        """CREATE TABLE epochs (
            id INTEGER PRIMARY KEY, epoch TEXT NOT NULL UNIQUE, device TEXT NOT NULL, base INTEGER NOT NULL,
            acked INTEGER NOT NULL, hash BLOB NOT NULL, opened_at TEXT NOT NULL) STRICT""",
        # What the centre said of an entry.
        "CREATE TABLE outcomes (number INTEGER PRIMARY KEY, code TEXT NOT NULL, pos INTEGER, detail TEXT) STRICT",
        "CREATE INDEX outcomes_quarantined ON outcomes (number) WHERE code = 'quarantined'",
        """CREATE TABLE receipts (
            id INTEGER PRIMARY KEY, number TEXT, original INTEGER REFERENCES receipts, member TEXT,
            captured TEXT NOT NULL, claims BLOB NOT NULL, body BLOB NOT NULL) STRICT""",
        "CREATE INDEX receipts_number ON receipts (number) WHERE number IS NOT NULL",
        "CREATE INDEX receipts_original ON receipts (original) WHERE original IS NOT NULL",
        # Every identity key under which a receipt may come again.
        """CREATE TABLE receipt_keys (
            key TEXT PRIMARY KEY, receipt INTEGER NOT NULL REFERENCES receipts) STRICT, WITHOUT ROWID""",
        # Points of own entries that the member's row does not show yet; `key` is the entry's.
        """CREATE TABLE claims (
            id INTEGER PRIMARY KEY, key TEXT NOT NULL, member TEXT NOT NULL, points INTEGER NOT NULL,
            pending_until TEXT, pos INTEGER) STRICT""",
        "CREATE INDEX claims_member ON claims (member)",
        "CREATE INDEX claims_key ON claims (key)",
        # The feed's rows. One that left or was erased keeps its pos, so that an older row cannot come back.
        """CREATE TABLE members (
            id INTEGER PRIMARY KEY, member TEXT NOT NULL UNIQUE, pos INTEGER NOT NULL, op TEXT NOT NULL,
            generation INTEGER NOT NULL, row BLOB) STRICT""",
        """CREATE TABLE identifiers (
            code TEXT NOT NULL, kind TEXT NOT NULL, member INTEGER NOT NULL,
            PRIMARY KEY (code, kind, member)) STRICT, WITHOUT ROWID""",
        """CREATE TABLE feed (
            id INTEGER PRIMARY KEY CHECK (id = 1), position INTEGER NOT NULL, as_of TEXT, centre_epoch TEXT,
            generation INTEGER NOT NULL) STRICT""",
        "INSERT INTO feed (id, position, generation) VALUES (1, 0, 0)",
        """CREATE TABLE scans (
            id INTEGER PRIMARY KEY, code TEXT NOT NULL, kind TEXT NOT NULL, entry TEXT NOT NULL, member TEXT,
            at TEXT NOT NULL, reader TEXT NOT NULL, used INTEGER NOT NULL DEFAULT 0, used_by TEXT) STRICT""",
        "CREATE INDEX scans_unused ON scans (id) WHERE used = 0",
        """CREATE TABLE quarantine (
            id INTEGER PRIMARY KEY, source TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
            at TEXT NOT NULL, resolved_at TEXT, raw BLOB NOT NULL) STRICT""",
        "CREATE INDEX quarantine_open ON quarantine (id) WHERE resolved_at IS NULL",
        """CREATE TABLE spools (
            source TEXT PRIMARY KEY, segment INTEGER NOT NULL, "offset" INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
        """CREATE TABLE programs (
            hash TEXT PRIMARY KEY, program TEXT NOT NULL, signature TEXT NOT NULL, current INTEGER NOT NULL) STRICT""",
    ),
)

_SOURCE_MARKS: Migration = (
    "source marks",
    (
        # What a source of receipts need not give again: a file by its name, how far a database was read.
        """CREATE TABLE source_marks (
            id INTEGER PRIMARY KEY, source TEXT NOT NULL, name TEXT NOT NULL, mark TEXT NOT NULL,
            UNIQUE (source, name)) STRICT""",
    ),
)

_ANSWERED_CALLS: Migration = (
    "answered calls",
    (
        # Calls to the local API by their Idempotency-Key's digest, and what was answered first.
        """CREATE TABLE answered_calls (
            source TEXT NOT NULL, call TEXT NOT NULL, digest TEXT NOT NULL, answer BLOB NOT NULL,
            PRIMARY KEY (source, call)) STRICT, WITHOUT ROWID""",
    ),
)

_MATCHING: Migration = (
    "matching",
    (
        # Receipts of further sources. `keys` is a JSON list of identity keys; times are microseconds since 1970.
        """CREATE TABLE waiting (
            id INTEGER PRIMARY KEY, source TEXT NOT NULL, key TEXT NOT NULL, keys TEXT NOT NULL, content TEXT NOT NULL,
            said INTEGER NOT NULL, arrived INTEGER NOT NULL, captured TEXT NOT NULL, body BLOB NOT NULL,
            UNIQUE (source, key)) STRICT""",
        "CREATE INDEX waiting_content ON waiting (source, content, said)",
        "CREATE INDEX waiting_arrived ON waiting (arrived)",
        # Receipts of the authoritative source that those may be matched to.
        """CREATE TABLE candidates (
            receipt INTEGER PRIMARY KEY REFERENCES receipts, content TEXT NOT NULL, said INTEGER NOT NULL,
            booked INTEGER NOT NULL) STRICT""",
        "CREATE INDEX candidates_content ON candidates (content, said)",
        "CREATE INDEX candidates_booked ON candidates (booked)",
        # Which receipt of which source was matched to which.
        """CREATE TABLE pairs (
            source TEXT NOT NULL, receipt INTEGER NOT NULL REFERENCES receipts, key TEXT NOT NULL,
            paired INTEGER NOT NULL, PRIMARY KEY (source, receipt)) STRICT, WITHOUT ROWID""",
        "CREATE INDEX pairs_key ON pairs (source, key)",
        "CREATE INDEX pairs_paired ON pairs (paired)",
    ),
)

_QUARANTINE_DESK: Migration = (
    "quarantine desk",
    (
        # When it was captured, so that it can be booked as if it were fresh; the booked receipt whose problem it is.
        "ALTER TABLE quarantine ADD COLUMN captured TEXT",
        "ALTER TABLE quarantine ADD COLUMN receipt TEXT",
        # What a person or a re-reading made of it, and why; by which readers and options it was read last.
        "ALTER TABLE quarantine ADD COLUMN resolved_as TEXT",
        "ALTER TABLE quarantine ADD COLUMN note TEXT",
        "ALTER TABLE quarantine ADD COLUMN read_with TEXT",
        # Of `raw`: summed at each new item, which must not read all bytes.
        "ALTER TABLE quarantine ADD COLUMN size INTEGER NOT NULL DEFAULT 0",
        "UPDATE quarantine SET size = length(raw)",
        "UPDATE quarantine SET resolved_as = 'dismissed' WHERE resolved_at IS NOT NULL",
        "CREATE INDEX quarantine_size ON quarantine (size)",
    ),
)

_PROGRAM_SCHEDULE: Migration = (
    "program schedule",
    (
        # Several programs are kept, and from when each holds is what the centre last said (`sync.programs`).
        """INSERT INTO meta (name, value)
            SELECT 'programs', '{"schedule":[{"program":"' || hash || '"}],"refused":{}}'
            FROM programs WHERE current = 1""",
        "ALTER TABLE programs DROP COLUMN current",
    ),
)

_KEPT_ENTRIES: Migration = (
    "kept entries",
    (
        # Since which hour of its own clock the centre has entries through which number; bytes of those of that hour.
        """CREATE TABLE acknowledged (
            hour TEXT PRIMARY KEY, through INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
    ),
)

_PROFILES: Migration = (
    "profiles",
    (
        # What was told of members here and the member's row does not show yet; `key` is the entry's.
        """CREATE TABLE edits (
            id INTEGER PRIMARY KEY, key TEXT NOT NULL, member TEXT NOT NULL, edit BLOB NOT NULL, pos INTEGER) STRICT""",
        "CREATE INDEX edits_member ON edits (member)",
        "CREATE INDEX edits_key ON edits (key)",
        # To find all that is about one member.
        "CREATE INDEX receipts_member ON receipts (member) WHERE member IS NOT NULL",
    ),
)

_SCOPES: Migration = (
    "scopes",
    (
        # What the last snapshot was of; null: it is not known, and another is to be taken.
        "ALTER TABLE feed ADD COLUMN scope TEXT",
        # When it was asked for by itself, in seconds since 1970; whether the feed tells of it.
        "ALTER TABLE members ADD COLUMN pinned_at INTEGER",
        "ALTER TABLE members ADD COLUMN covered INTEGER NOT NULL DEFAULT 1",
        "CREATE INDEX members_uncovered ON members (pinned_at) WHERE covered = 0",
    ),
)

_CODE_RUNS: Migration = (
    "code runs",
    (
        # Codes of a snapshot that comes in, a run for each chunk, named by the id of the first member in it
        # (`sync.store.code_rows`); `size` is how many it had.
        "CREATE TABLE runs (first INTEGER PRIMARY KEY, size INTEGER NOT NULL) STRICT",
        """CREATE TABLE run_codes (
            run INTEGER NOT NULL, code TEXT NOT NULL, kind TEXT NOT NULL, member INTEGER NOT NULL,
            PRIMARY KEY (run, code, kind, member)) STRICT, WITHOUT ROWID""",
    ),
)

_SCANS_OF_MEMBER: Migration = (
    "scans of a member",
    (
        # An id that comes to mean another member, and an erasure, ask for them.
        "CREATE INDEX scans_member ON scans (member) WHERE member IS NOT NULL",
    ),
)

_SPENDING: Migration = (
    "spending",
    (
        # Points of members that this register may spend. `used` are spent or reserved; `returned` is what was left when
        # it was given back; the check guards what no code may do.
        """CREATE TABLE allowances (
            id TEXT PRIMARY KEY, member TEXT NOT NULL, epoch TEXT NOT NULL, number INTEGER NOT NULL,
            points INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0, recalled INTEGER NOT NULL DEFAULT 0,
            returned INTEGER, CHECK (used >= 0 AND used <= points)) STRICT, WITHOUT ROWID""",
        "CREATE INDEX allowances_member ON allowances (member)",
        "CREATE INDEX allowances_number ON allowances (number)",
        # Sales of the local API. `touched` is an instant, `member` a reference, `basket` a receipt so far.
        """CREATE TABLE sales (
            id INTEGER PRIMARY KEY, sale TEXT NOT NULL UNIQUE, by_page INTEGER NOT NULL, state TEXT NOT NULL,
            touched TEXT NOT NULL, member TEXT, receipt TEXT, basket BLOB) STRICT""",
        "CREATE INDEX sales_state ON sales (state)",
        # Rewards that were chosen for them; `lines` and `draws` are JSON.
        """CREATE TABLE redemptions (
            id INTEGER PRIMARY KEY, redemption TEXT NOT NULL UNIQUE, times INTEGER NOT NULL, points INTEGER NOT NULL,
            discount_minor INTEGER NOT NULL, state TEXT NOT NULL, sale TEXT NOT NULL, member TEXT NOT NULL,
            reward TEXT NOT NULL, program TEXT, at TEXT NOT NULL, lines TEXT NOT NULL, draws TEXT NOT NULL,
            receipt TEXT, entered TEXT) STRICT""",
        "CREATE INDEX redemptions_sale ON redemptions (sale)",
        "CREATE INDEX redemptions_reserved ON redemptions (id) WHERE state = 'reserved'",
        # Points that were spent come off what may be spent, and are no less pending for it: 1 were drawn of an
        # allowance, 2 went by the balance.
        "ALTER TABLE claims ADD COLUMN spent INTEGER NOT NULL DEFAULT 0",
    ),
)

_CLAIMS_SHOWN: Migration = (
    "claims_shown",
    (
        # Each page of the feed asks for those whose member is not held; what waits for the centre has no position.
        "CREATE INDEX claims_pos ON claims (pos) WHERE pos IS NOT NULL",
    ),
)

_VOUCHERS: Migration = (
    "vouchers",
    (
        # With a voucher, by its id, the points of an allowance are uses of that; it brings `reward`. `member` is empty
        # where it is for whoever shows it.
        "ALTER TABLE allowances ADD COLUMN voucher TEXT",
        "ALTER TABLE allowances ADD COLUMN reward TEXT",
        "CREATE INDEX allowances_voucher ON allowances (voucher) WHERE voucher IS NOT NULL",
        # Which one brought a reward.
        "ALTER TABLE redemptions ADD COLUMN voucher TEXT",
    ),
)

_RESERVED_AT: Migration = (
    "reserved_at",
    (
        # The instant of `at`, so that a clock which is set meanwhile does not put a receipt before it.
        "ALTER TABLE redemptions ADD COLUMN reserved TEXT",
    ),
)

_VOUCHERS_END: Migration = (
    "vouchers_end",
    ("ALTER TABLE allowances ADD COLUMN expires_at TEXT",),
)

_READABLE_BEFORE: Migration = (
    "readable_before",
    (
        # How many migrations a program has to know, to work with this file as it is. One that takes away or changes
        # what its predecessor reads sets this anew; one that only adds leaves it, and an update can be gone back from.
        "INSERT INTO meta (name, value) VALUES ('readable_from', '16')",
    ),
)

_REDEMPTIONS_OF_MEMBER: Migration = (
    "redemptions_of_member",
    # Each receipt asks for the last one.
    ("CREATE INDEX redemptions_member ON redemptions (member)",),
)

_REDEMPTIONS_OF_RECEIPT: Migration = (
    "redemptions_of_receipt",
    # So does each that closes a sale, or pays for one that was suspended, for what was given on it.
    ("CREATE INDEX redemptions_receipt ON redemptions (receipt) WHERE receipt IS NOT NULL",),
)

MIGRATIONS: tuple[Migration, ...] = (
    _FIRST,
    _SOURCE_MARKS,
    _ANSWERED_CALLS,
    _MATCHING,
    _QUARANTINE_DESK,
    _PROGRAM_SCHEDULE,
    _KEPT_ENTRIES,
    _PROFILES,
    _SCOPES,
    _CODE_RUNS,
    _SCANS_OF_MEMBER,
    _SPENDING,
    _CLAIMS_SHOWN,
    _VOUCHERS,
    _RESERVED_AT,
    _VOUCHERS_END,
    _READABLE_BEFORE,
    _REDEMPTIONS_OF_MEMBER,
    _REDEMPTIONS_OF_RECEIPT,
)


def version_of(connection: Connection) -> int:
    """Migrations that were applied to this file. The first statement that reads it: a wrong key fails here."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def refuse_newer(connection: Connection, known: int = len(MIGRATIONS)) -> None:
    """Raises StoreTooNewError for a file of a later version of the program, unless that left it readable."""
    version = version_of(connection)
    if version <= known:
        return
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (READABLE_FROM,)).fetchone()
    if row is None or int(row[0]) > known:
        raise StoreTooNewError(
            f"the store is of version {version} and this program knows up to {known}; "
            "install the newer version again, the store was left as it is"
        )


def migrate(connection: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Brings the file to the last of `migrations`, each in a transaction of its own; one that is further stays so."""
    if version_of(connection) >= len(migrations):
        return
    # sqlite-utils looks for a replacement of the standard library's sqlite3 under these names.
    sys.modules.setdefault("pysqlite3", dbapi2)
    sys.modules.setdefault("pysqlite3.dbapi2", dbapi2)
    from sqlite_utils import Database, Migrations  # noqa: PLC0415 - see the module's docstring

    todo = Migrations(_MIGRATION_SET)
    for version, (name, statements) in enumerate(migrations, start=1):
        todo(name=name)(_applying((*statements, f"PRAGMA user_version = {version}")))
    todo.apply(Database(connection))


def _applying(statements: Sequence[str]) -> Callable[[Tables], None]:
    def step(tables: Tables) -> None:
        for statement in statements:
            tables.execute(statement)

    return step
