"""Why the database cannot be used as it is. Each message says what to do."""

from __future__ import annotations


class DatabaseError(RuntimeError):
    """The database cannot be used as it is."""

    exit_code = 1


class DatabaseUrlError(DatabaseError):
    """A text is no address of a database that can be used."""

    exit_code = 2


class DatabaseMissingError(DatabaseError):
    """There is no database here yet."""

    exit_code = 3


class DatabaseNewerError(DatabaseError):
    """The database was written by a newer version of this program."""


class DatabaseOlderError(DatabaseError):
    """The database needs a migration."""


class DatabaseServedError(DatabaseError):
    """Another process serves this database."""
