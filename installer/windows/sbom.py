"""The package's bill of materials: the lock's libraries that are in it, and the Python that runs them.

`python -m installer.windows.sbom FILE PIN VERSION`. Owns what is added and left out; the rest is the tool's that read
the lock.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from installer.windows.embedded import PinnedPython, read_pin

# A build takes these out again: nothing is installed on a register.
NOT_PACKED: Final = frozenset({"pip", "setuptools"})


def completed(bill: dict[str, Any], python: PinnedPython, version: str) -> dict[str, Any]:
    """`bill` as CycloneDX, of the register's `version`."""
    libraries = [each for each in bill.get("components", ()) if each["name"] not in NOT_PACKED]
    interpreter = {
        "bom-ref": "python",
        "type": "platform",
        "name": "python",
        "version": python.file.removeprefix("python-").partition("-")[0],
        "hashes": [{"alg": "SHA-256", "content": python.sha256}],
        "externalReferences": [{"type": "distribution", "url": f"{python.source}{python.file}"}],
    }
    kept = {each.get("bom-ref") for each in libraries}
    metadata = {
        **bill.get("metadata", {}),
        "component": {"type": "application", "name": "tillside", "version": version},
    }
    needed = [each for each in bill.get("dependencies", ()) if each["ref"] in kept]
    return {**bill, "metadata": metadata, "components": [interpreter, *libraries], "dependencies": needed}


if __name__ == "__main__":
    file, pin, made_of = Path(sys.argv[1]), read_pin(Path(sys.argv[2])), sys.argv[3]
    told = completed(json.loads(file.read_text("utf-8")), pin, made_of)
    file.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
