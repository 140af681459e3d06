"""The Debian package's own files: what it starts, what it runs on installation, and that it names what is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "installer" / "package"
FILES = PACKAGE / "files"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a Debian package")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The command as it is installed: through `current` into a version's folder, whose libraries are ours."""
    version = tmp_path / "opt" / "versions" / "9"
    (version / "bin").mkdir(parents=True)
    command = version / "bin" / "tillside"
    text = (FILES / "tillside").read_text(encoding="utf-8").replace("/usr/bin/python3", sys.executable)
    command.write_text(text, encoding="utf-8")
    command.chmod(0o755)
    lib = version / "lib"
    lib.mkdir()
    for name in ("agent", "config", "drivers", "loyalty", "sync"):
        (lib / name).symlink_to(ROOT / name)
    (lib / "sitecustomize.py").write_text(f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})\n")
    (tmp_path / "opt" / "current").symlink_to("versions/9")
    called = tmp_path / "opt" / "tillside"
    called.symlink_to("current/bin/tillside")
    return called


def test_it_runs_from_any_folder_and_loads_nothing_from_there(installed: Path, tmp_path: Path) -> None:
    # Given a folder with modules that somebody put there
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("agent", "json", "typer"):
        (trap / f"{name}.py").write_text("raise SystemExit('loaded from here')\n")
    done = subprocess.run(
        [installed, "parse-scan", "]C1010123456789012810A1", "--json"],
        cwd=trap,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(trap)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["symbology"] == "gs1-128"


def test_commands_work_as_the_services_user_but_for_what_needs_root_first() -> None:
    """A support bundle reads the journal and opens its file as who asks; then it becomes that user by itself."""
    text = (FILES / "tillside").read_text(encoding="utf-8")
    as_user = re.search(r"^  (enroll \|[^)]*)\)$", text, re.MULTILINE)
    assert as_user is not None
    commands = set(as_user[1].split(" | "))
    assert {"enroll", "status", "doctor", "members", "open", "generalize"} <= commands
    assert not commands & {"support-bundle", "queue", "relay", "config"}


@pytest.mark.parametrize("name", ["tillside", "postinst", "prerm", "postrm"])
def test_scripts_are_of_any_shell(name: str) -> None:
    shell = shutil.which("dash") or shutil.which("sh")
    assert shell is not None
    script = FILES / name
    assert os.access(script, os.X_OK)
    subprocess.run([shell, "-n", script], check=True)


def test_what_is_packed_is_there_and_is_what_the_units_start() -> None:
    text = (PACKAGE / "nfpm.yaml").read_text(encoding="utf-8")
    units = ROOT / "installer" / "systemd"
    for source in re.findall(r"src: \"?(files/[\w.]+|\$\{UNITS\}/[\w.@-]+)", text):
        path = source.replace("${UNITS}", str(units))
        assert (PACKAGE / path).is_file(), source
    places = set(re.findall(r"dst: \"?(/[^\",}\s]+)", text.replace("${VERSION}", "9")))
    for unit in units.glob("*.service"):
        started = re.search(r"^ExecStart=(\S+)", unit.read_text(encoding="utf-8"), re.MULTILINE)
        assert started is not None
        assert started[1].replace("/updater/bin/", "/bin/").replace("%i", "9") in places
    assert "/opt/tillside/updater" in places
    # And each version's folder holds itself alone: an update lays the next one beside it
    assert "/opt/tillside/versions/${VERSION}/lib" in text


def test_what_is_left_after_purging_is_nothing() -> None:
    script = (FILES / "postrm").read_text(encoding="utf-8")
    kept = set((FILES / "tmpfiles.conf").read_text(encoding="utf-8").split()) & {
        "/var/spool/tillside",
        "/var/lib/tillside",
    }
    assert len(kept) == 2
    purged = re.search(r"purge\)\n\s*rm -rf (.*)", script)
    assert purged is not None
    assert kept | {"/etc/tillside", "/opt/tillside"} == set(purged[1].split())


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no Python of the system's own")
def test_an_archive_is_unpacked_by_the_systems_own_python(tmp_path: Path) -> None:
    """Debian's 3.11 is older than the one that developers use, and it is the one that registers have."""
    archive = tmp_path / "one.tar.xz"
    root = tmp_path / "opt"
    (root / "versions").mkdir(parents=True)
    for name in ("bin/tillside", "lib/agent.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x")
    subprocess.run(["tar", "-cJf", archive, "-C", tmp_path, "bin", "lib"], check=True)
    work = (
        "from pathlib import Path\nfrom agent.updating.versions import Versions\n"
        f"Versions(Path({str(root)!r})).unpack(Path({str(archive)!r}), '0.2.0')"
    )
    paths = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
    done = subprocess.run(
        ["/usr/bin/python3", "-c", work],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        umask=0o077,
    )
    if "ModuleNotFoundError" in done.stderr or "ImportError" in done.stderr:
        pytest.skip("the system's Python is of another version than the libraries here")
    assert done.stderr == ""
    assert (root / "versions" / "0.2.0" / "lib").stat().st_mode & 0o777 == 0o755
