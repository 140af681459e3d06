"""The backend of CUPS as the package has it: what its README says is there, it runs, and no queue stops without it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from drivers.receipts.spool_source import SpoolPosition, SpoolReader

ROOT = Path(__file__).resolve().parents[2]
CUPS = ROOT / "installer" / "cups"
FILES = ROOT / "installer" / "package" / "files"
NFPM = (ROOT / "installer" / "package" / "nfpm.yaml").read_text(encoding="utf-8")
JOB = ["41", "savka", "Receipt 4711", "1", "fit-to-page"]
RECEIPT = b"MLEKO 159,99\n\x1dVB\x00"
# A Python that finds nothing of ours by itself, as the system's own.
PYTHON = Path(sys.executable).resolve()
PRINTERS = """\
<Printer office>
DeviceURI socket://192.168.1.9:9100
</Printer>
<DefaultPrinter till>
DeviceURI tillside:usb://EPSON/TM-T20II?serial=4711
</DefaultPrinter>
<Printer bar>
DeviceURI tillside-star:socket://192.168.1.50:9100
</Printer>
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a backend of CUPS")


class Machine:
    """Where the package is installed, with CUPS and a backend `fake` that prints into a file."""

    def __init__(self, folder: Path) -> None:
        self.paper, self.spools = folder / "paper", folder / "spools"
        self.spools.mkdir()
        self.opt = folder / "opt"
        lib = self.opt / "versions" / "9" / "lib"
        lib.mkdir(parents=True)
        for name in ("drivers", "loyalty"):
            (lib / name).symlink_to(ROOT / name)
        (self.opt / "current").symlink_to("versions/9")
        self._backends = folder / "cups" / "backend"
        self._backends.mkdir(parents=True)
        text = (CUPS / "tillside-backend").read_text(encoding="utf-8")
        self._place("tillside", text.replace("/opt/tillside", str(self.opt)).replace("/usr/bin/python3", str(PYTHON)))
        self._place("fake", '#!/bin/sh\ncat >>"${DEVICE_URI#fake:}"\necho "$@" >&2\n')

    def run(self, *arguments: str, uri: str = "", job: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        environ = {
            "PATH": os.environ["PATH"],
            "DEVICE_URI": uri or f"tillside:fake:{self.paper}",
            "PRINTER": "till",
            "CUPS_SERVERBIN": str(self._backends.parent),
            "TILLSIDE_CUPS_SPOOL": str(self.spools),
        }
        command: list[str | Path] = [self._backends / "tillside", *arguments]
        return subprocess.run(command, input=job, env=environ, capture_output=True, check=False, timeout=60)

    def kept(self) -> list[bytes]:
        return [job.payload for job in SpoolReader(self.spools / "till").read_after(SpoolPosition())]

    def _place(self, name: str, text: str) -> None:
        (self._backends / name).write_text(text, encoding="utf-8")
        (self._backends / name).chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_it_prints_and_keeps_by_the_packages_own_layout(machine: Machine) -> None:
    done = machine.run(*JOB, job=RECEIPT)

    assert (done.returncode, machine.paper.read_bytes(), machine.kept()) == (0, RECEIPT, [RECEIPT])
    assert machine.run().stdout.split()[:2] == [b"direct", b"tillside"]


def test_without_the_package_the_queue_prints_and_its_log_says_that_nothing_is_kept(machine: Machine) -> None:
    shutil.rmtree(machine.opt)

    done = machine.run(*JOB, job=RECEIPT)

    assert (done.returncode, machine.paper.read_bytes()) == (0, RECEIPT)
    assert done.stderr.decode().endswith(" ".join(JOB) + "\n")
    assert b"WARNING: Tillside is not installed" in done.stderr
    assert (machine.run().returncode, machine.run().stdout) == (0, b"")


@pytest.mark.parametrize("uri", ["tillside:none:/x", "tillside:../cups/backend/fake:/x", "tillside::", "tillside:"])
def test_without_the_package_an_address_of_no_backend_stops_the_queue(machine: Machine, uri: str) -> None:
    shutil.rmtree(machine.opt)

    done = machine.run(*JOB, uri=uri, job=RECEIPT)

    assert done.returncode == 4
    assert b"ERROR:" in done.stderr


def test_what_the_readme_installs_is_in_the_package() -> None:
    readme = (CUPS / "README.md").read_text(encoding="utf-8")
    (installed,) = re.findall(r"install -m 0700 (\S+) /usr/lib/cups/backend/tillside\n", readme)
    assert f'src: "${{CUPS}}/tillside-backend", dst: {installed},' in NFPM
    assert "CUPS=$root/installer/cups" in (ROOT / "installer/package/build.sh").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("awk") is None, reason="every Debian has one")
def test_removing_the_package_names_each_queue_that_leads_through_it(tmp_path: Path) -> None:
    (tmp_path / "printers.conf").write_text(PRINTERS, encoding="utf-8")
    script = tmp_path / "prerm"
    text = (FILES / "prerm").read_text(encoding="utf-8").replace("/etc/cups", str(tmp_path))
    script.write_text(text.replace("/run/systemd/system", str(tmp_path / "none")), encoding="utf-8")
    (tmp_path / "systemctl").write_text("#!/bin/sh\n")
    (tmp_path / "systemctl").chmod(0o755)

    for action, queues in (("remove", 2), ("upgrade", 0)):
        done = subprocess.run(
            ["/bin/sh", script, action],
            env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr.count("of CUPS still leads")) == (0, queues)
        if queues:
            assert "lpadmin -p 'till' -v 'usb://EPSON/TM-T20II?serial=4711'" in done.stderr
            assert "lpadmin -p 'bar' -v 'socket://192.168.1.50:9100'" in done.stderr
            assert "office" not in done.stderr
