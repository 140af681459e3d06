"""A log file that stays small: what a service writes, where no journal takes it.

Owns the size and the one file of before. Never looks at what is written.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final, TextIO

# Two of them are kept: months of a register that is well, and days of one that is not.
MAX_LOG_BYTES: Final = 5 * 1024 * 1024


class CappedFile(io.RawIOBase):
    """Appends to `path`; before a write would make it larger than `most` bytes it becomes `path` + `.1`."""

    def __init__(self, path: Path, most: int = MAX_LOG_BYTES) -> None:
        self._path, self._most = path, most
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        """Writes all of it. Raises OSError where the disk does."""
        content = bytes(memoryview(data))  # type: ignore[arg-type] # whatever a text layer hands on
        if self._file.tell() and self._file.tell() + len(content) > self._most:
            self._file.close()
            self._path.replace(before(self._path))
            self._file = self._path.open("ab", buffering=0)
        self._file.write(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def log_file(config: Path) -> Path:
    """Where the service of these settings writes: beside their file, as the state folder is known only once they are
    right.
    """
    return config.parent / "logs" / "agent.log"


def last_lines(path: Path, most: int) -> list[str]:
    """The newest `most` lines of a log and of the one before it. Raises OSError where there is none."""
    older = before(path)
    texts = [each.read_text("utf-8", "replace") for each in (older, path) if each.exists() or each == path]
    return "".join(texts).splitlines()[-most:]


def before(path: Path) -> Path:
    """Where the lines before those in `path` are."""
    return path.with_name(f"{path.name}.1")


def capped_log(path: Path, most: int = MAX_LOG_BYTES) -> TextIO:
    """A log for text, each line written as it comes."""
    return io.TextIOWrapper(
        CappedFile(path, most),  # type: ignore[type-var] # a raw file is enough to write
        encoding="utf-8",
        errors="backslashreplace",
        newline="\n",
        write_through=True,
    )
