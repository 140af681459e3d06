"""Makes the MSI of a staged tree: `python -m installer.windows.make STAGE VERSION OUT`, with wixl and msitools.

Owns the order of the tools. What they are told is decided in `wxs` and `tables`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from installer.windows.names import guid
from installer.windows.summary import timed
from installer.windows.tables import changes, tables
from installer.windows.wxs import MAKER, Package, source

# x64, and the neutral language.
TEMPLATE = "x64;1033"


def make(stage: Path, version: str, out: Path, at: int) -> None:
    """`stage` holds the version's folder, the command and the settings; `at` is the commit's second.

    Raises CalledProcessError and ValueError.
    """
    tree = stage / version
    files = tuple(sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()))
    package = Package(version=version, files=files)
    text = source(package)
    out.unlink(missing_ok=True)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "tillside.wxs").write_text(text, encoding="utf-8")
        _run("wixl", "--arch", "x64", "--output", str(out), str(work / "tillside.wxs"), cwd=stage)
        for table in tables(package):
            exported = work / f"{table.name}.idt"
            exported.write_bytes(table.text().encode())
            _run("msibuild", str(out), "-i", str(exported), cwd=stage)
        for change in changes(present=_properties(out)):
            _run("msibuild", str(out), "-q", change, cwd=stage)
        # Windows takes two files with one code for the same file: so it follows from what is in it.
        code = f"{{{guid('package', _hash(stage, text))}}}"
        _run("msibuild", str(out), "-s", "Tillside", MAKER, TEMPLATE, code, cwd=stage)
    out.write_bytes(timed(out.read_bytes(), at))


def _properties(package: Path) -> frozenset[str]:
    told = subprocess.run(["msiinfo", "export", package, "Property"], check=True, capture_output=True, text=True).stdout
    return frozenset(line.partition("\t")[0] for line in told.splitlines())


def _hash(stage: Path, text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for path in sorted(path for path in stage.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(stage).as_posix()}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _run(*command: str, cwd: Path) -> None:
    subprocess.run(command, check=True, cwd=cwd)


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve(), sys.argv[2], Path(sys.argv[3]).resolve(), int(os.environ["SOURCE_DATE_EPOCH"]))
