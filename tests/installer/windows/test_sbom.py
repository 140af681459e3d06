"""The bill of materials names what is in the package, the Python too."""

from __future__ import annotations

from installer.windows.embedded import PinnedPython
from installer.windows.sbom import completed

PYTHON = PinnedPython(file="python-3.13.9-embed-amd64.zip", sha256="ab" * 32, source="https://there/")


def test_python_is_in_it_and_what_only_installs_is_not() -> None:
    # Given what a tool made of the lock
    libraries = [{"bom-ref": name, "name": name} for name in ("aiohttp", "pip", "setuptools")]
    bill = {"bomFormat": "CycloneDX", "components": libraries, "dependencies": [{"ref": "aiohttp"}, {"ref": "pip"}]}

    told = completed(bill, PYTHON, "0.1.0")

    python, *others = told["components"]
    assert (python["name"], python["version"]) == ("python", "3.13.9")
    assert python["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert [each["name"] for each in others] == ["aiohttp"]
    assert told["dependencies"] == [{"ref": "aiohttp"}]
    assert told["metadata"]["component"]["version"] == "0.1.0"
