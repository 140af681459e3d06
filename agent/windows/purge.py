"""Takes away all that a register kept: `python -m agent.windows.purge FOLDER`, run by an uninstallation told to.

Never decides that: without PURGE=1 the folder stays.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from config.load import FILE_NAME


def purge(folder: Path) -> int:
    """Exit codes: 0 nothing of it is left, 1 it is no data folder of ours, or something of it could not be deleted."""
    if not folder.exists():
        return 0
    if not (folder / FILE_NAME).is_file():
        sys.stderr.write(f"{folder}: has no {FILE_NAME}, so it is left alone\n")
        return 1
    try:
        shutil.rmtree(folder)
    except OSError as error:
        sys.stderr.write(f"{folder}: {error.strerror}: {error.filename}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(purge(Path(sys.argv[1])))
