"""What of the MSI wixl has no words for: rows of its tables, as msibuild takes them.

A pure core: text out. A table is in the text form of MsiDatabaseExport, tabs between fields and CR LF after rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from installer.windows.names import identifier, service_sid
from installer.windows.wxs import DATA, NEWER, OLDER, PROGRAM, PROPERTIES, SERVICE, SETTINGS_ID, Package

# The system and administrators in full; the service's own SID: all but the rights themselves. Nobody else, and nothing
# comes down from above.
DATA_RIGHTS: Final = f"D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;{service_sid(SERVICE)})"

# msidbComponentAttributes64bit, Permanent and NeverOverwrite.
_IN_64_BITS: Final = 256
_STAYS: Final = 16 + 128
# msidbRemoveFileInstallModeOnRemove.
_ON_REMOVE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns by the letters of the export: s72 is a key of 72 characters, S0 may be empty, i2 is a number."""

    name: str
    columns: tuple[tuple[str, str], ...]
    keys: int
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        lines = (
            tuple(name for name, _ in self.columns),
            tuple(kind for _, kind in self.columns),
            (self.name, *(name for name, _ in self.columns[: self.keys])),
            *self.rows,
        )
        return "".join("\t".join(line) + "\r\n" for line in lines)


def tables(package: Package) -> tuple[Table, ...]:
    """Those that wixl does not make."""
    return (_rights(), _search_path(), _compiled(package))


def changes(*, present: frozenset[str]) -> tuple[str, ...]:
    """Statements for what wixl made otherwise, or left out; `present` names the properties that it made."""
    secure = ";".join((OLDER, NEWER, *PROPERTIES))
    return (
        f"UPDATE `Property` SET `Value` = '{secure}' WHERE `Property` = 'SecureCustomProperties'"
        if "SecureCustomProperties" in present
        else f"INSERT INTO `Property` (`Property`, `Value`) VALUES ('SecureCustomProperties', '{secure}')",
        f"UPDATE `Component` SET `Attributes` = {_IN_64_BITS + _STAYS} WHERE `Component` = '{SETTINGS_ID}'",
        # First of all, within the one transaction: where the new version cannot be installed, the old one comes back.
        "UPDATE `InstallExecuteSequence` SET `Sequence` = 1510 WHERE `Action` = 'RemoveExistingProducts'",
        *(
            f"INSERT INTO `InstallExecuteSequence` (`Action`, `Sequence`) VALUES ('{action}', {sequence})"
            for action, sequence in (("RemoveEnvironmentStrings", 3300), ("WriteEnvironmentStrings", 5200))
        ),
    )


def _rights() -> Table:
    return Table(
        name="MsiLockPermissionsEx",
        columns=(
            ("MsiLockPermissionsEx", "s72"),
            ("LockObject", "s72"),
            ("Table", "s32"),
            ("SDDLText", "s0"),
            ("Condition", "S255"),
        ),
        keys=1,
        rows=(("DataRights", DATA, "CreateFolder", DATA_RIGHTS, ""),),
    )


def _search_path() -> Table:
    """The command is found by its name: the machine's PATH, of which only our part goes with us."""
    return Table(
        name="Environment",
        columns=(("Environment", "s72"), ("Name", "l255"), ("Value", "L255"), ("Component_", "s72")),
        keys=1,
        rows=(("SearchPath", "=-*PATH", f"[~];[{PROGRAM}]", "Command"),),
    )


def _compiled(package: Package) -> Table:
    """What compiling adds to each folder of libraries, for the uninstallation to take away."""
    rows = []
    for folder in package.compiled:
        component, cache = package.component_id(folder), package.cache_id(folder)
        # Each by its name, which wine takes too; by a pattern, as Windows takes it, what is besides; then the folder.
        rows += [
            (identifier("pyc", f"{folder}/{name}"), component, name, cache, str(_ON_REMOVE))
            for name in (*package.compiled_in(folder), "*.pyc", "")
        ]
    return Table(
        name="RemoveFile",
        columns=(
            ("FileKey", "s72"),
            ("Component_", "s72"),
            ("FileName", "L255"),
            ("DirProperty", "s72"),
            ("InstallMode", "i2"),
        ),
        keys=1,
        rows=tuple(rows),
    )
