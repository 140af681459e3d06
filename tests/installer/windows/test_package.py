"""The MSI: what its source and its tables say, and that it comes out the same twice."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from installer.windows.make import make
from installer.windows.names import service_sid
from installer.windows.summary import NoSummaryError, timed
from installer.windows.tables import DATA_RIGHTS, tables
from installer.windows.wxs import ACTIONS, Package, source

NAMESPACE = "{http://schemas.microsoft.com/wix/2006/wi}"
FILES = (
    "LICENSE",
    "lib/agent/__init__.py",
    "lib/agent/cli/run.py",
    "lib/a.pyd",
    "python/python.exe",
    "python/python313.zip",
)
PACKAGE = Package(version="0.1.0", files=FILES)
COMMIT = 1_790_000_000


@pytest.fixture
def wix() -> ET.Element:
    return ET.fromstring(source(PACKAGE))


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    for name in FILES:
        file = tmp_path / "stage" / "0.1.0" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    for name in ("tillside.cmd", "tillside.toml"):
        (tmp_path / "stage" / name).write_text(name)
    return tmp_path / "stage"


@pytest.fixture
def msi(stage: Path, tmp_path: Path) -> Path:
    for path in stage.rglob("*"):
        os.utime(path, (COMMIT, COMMIT))
    out = tmp_path / "tillside.msi"
    make(stage, "0.1.0", out, COMMIT)
    return out


def rows(msi: Path, table: str) -> list[dict[str, str]]:
    said = subprocess.run(["msiinfo", "export", msi, table], check=True, capture_output=True).stdout.decode()
    heads, _, _, *lines = said.replace("\r", "").removesuffix("\n").split("\n")
    return [dict(zip(heads.split("\t"), line.split("\t"), strict=True)) for line in lines if line]


def test_each_file_is_in_it_once_and_each_component_in_the_feature(wix: ET.Element) -> None:
    names = [each.attrib["Source"] for each in wix.iter(f"{NAMESPACE}File")]
    assert sorted(names) == sorted([*(f"0.1.0/{file}" for file in FILES), "tillside.cmd", "tillside.toml"])

    components = [each.attrib for each in wix.iter(f"{NAMESPACE}Component")]
    referred = [each.attrib["Id"] for each in wix.iter(f"{NAMESPACE}ComponentRef")]
    assert sorted(each["Id"] for each in components) == sorted(referred)
    assert len({each["Guid"] for each in components}) == len(components)


def test_every_folder_is_within_its_own(wix: ET.Element) -> None:
    def paths(element: ET.Element, above: str) -> list[str]:
        found = []
        for each in element.findall(f"{NAMESPACE}Directory"):
            path = f"{above}/{each.attrib['Name']}"
            found += [path, *paths(each, path)]
        return found

    product = wix.find(f"{NAMESPACE}Product")
    assert product is not None
    assert set(paths(product, "")) >= {
        "/SourceDir/PFiles/Tillside/0.1.0/lib/agent/cli/__pycache__",
        "/SourceDir/PFiles/Tillside/0.1.0/lib/agent/__pycache__",
        "/SourceDir/PFiles/Tillside/0.1.0/python",
        "/SourceDir/Data/Tillside",
    }


def test_the_interpreter_is_the_services_program(wix: ET.Element) -> None:
    (component,) = (
        each for each in wix.iter(f"{NAMESPACE}Component") if each.find(f"{NAMESPACE}ServiceInstall") is not None
    )
    (file,) = component.findall(f"{NAMESPACE}File")
    service = component.find(f"{NAMESPACE}ServiceInstall")

    assert service is not None
    assert (file.attrib["Source"], file.attrib["KeyPath"]) == ("0.1.0/python/python.exe", "yes")
    assert service.attrib["Account"] == r"NT AUTHORITY\LocalService"
    assert "-m agent.windows.service" in service.attrib["Arguments"]


def test_parts_of_two_versions_are_never_one(wix: ET.Element) -> None:
    # Given the same files in another version
    other = ET.fromstring(source(Package(version="0.1.1", files=FILES)))

    def guids(of: ET.Element) -> set[str]:
        return {
            each.attrib["Guid"]
            for each in of.iter(f"{NAMESPACE}Component")
            if any("0.1." in file.attrib["Source"] for file in each.iter(f"{NAMESPACE}File"))
        }

    # Then nothing that one of them installs is taken for the other's when that goes
    assert guids(wix)
    assert not guids(wix) & guids(other)


def test_no_code_is_on_a_command_line_and_programs_run_as_the_system() -> None:
    assert all("ENROLMENT_FILE" in each.arguments for each in ACTIONS if "enroll" in each.arguments)
    assert all(each.arguments.startswith("-B -m ") for each in ACTIONS)


def test_what_was_compiled_is_taken_away_again() -> None:
    removed = next(table for table in tables(PACKAGE) if table.name == "RemoveFile").rows

    # Then files before their folder, which has to be empty
    assert [row[2] for row in removed] == [
        *("__init__.cpython-313.pyc", "*.pyc", ""),
        *("run.cpython-313.pyc", "*.pyc", ""),
    ]
    assert len({row[0] for row in removed}) == len(removed)


def test_the_data_folder_is_closed_to_all_others() -> None:
    assert DATA_RIGHTS.startswith("D:PAI(")
    assert DATA_RIGHTS.count("(A;") == 3
    assert service_sid("Tillside") in DATA_RIGHTS


def test_the_msi_has_what_wixl_has_no_words_for(msi: Path) -> None:
    (right,) = rows(msi, "MsiLockPermissionsEx")
    assert (right["LockObject"], right["SDDLText"]) == ("DATAFOLDER", DATA_RIGHTS)
    (settings,) = (row for row in rows(msi, "Component") if row["Component"] == "Settings")
    # It stays when the program goes, and is never written over
    assert int(settings["Attributes"]) & (16 | 128) == 16 | 128
    properties = {row["Property"]: row["Value"] for row in rows(msi, "Property")}
    assert {"ENROLMENT_FILE", "REGISTER", "PURGE"} < set(properties["SecureCustomProperties"].split(";"))


def test_other_versions_go_within_the_one_transaction_newer_ones_too(msi: Path) -> None:
    order = {row["Action"]: int(row["Sequence"]) for row in rows(msi, "InstallExecuteSequence")}
    assert order["InstallInitialize"] < order["RemoveExistingProducts"] < order["StopServices"]
    assert order["InstallFiles"] < order["Compile"] < order["InstallServices"]
    assert order["InstallServices"] < order["Enrol"] < order["EnrolAs"] < order["Recover"] < order["StartServices"]
    assert order["StopServices"] < order["Purge"] < order["RemoveFiles"]

    upgrades = {row["ActionProperty"]: row for row in rows(msi, "Upgrade")}
    only_detect = 2
    assert not any(int(row["Attributes"]) & only_detect for row in upgrades.values())
    assert upgrades["OLDERVERSION"]["VersionMax"] == upgrades["NEWERVERSION"]["VersionMin"] == "0.1.0"


def test_the_service_is_stopped_and_taken_away_with_the_program(msi: Path) -> None:
    (control,) = rows(msi, "ServiceControl")
    start, stop, stop_on_removal, delete_on_removal = 0x1, 0x2, 0x20, 0x80
    assert int(control["Event"]) == start | stop | stop_on_removal | delete_on_removal
    (service,) = rows(msi, "ServiceInstall")
    assert (service["Name"], service["StartType"]) == ("Tillside", "2")


def test_the_same_tree_gives_the_same_bytes(msi: Path, stage: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.msi"
    make(stage, "0.1.0", again, COMMIT)
    assert again.read_bytes() == msi.read_bytes()

    # When one byte of one file is another, then Windows takes it for another package
    (stage / "0.1.0" / "lib" / "a.pyd").write_text("lib/b.pyd")
    os.utime(stage / "0.1.0" / "lib" / "a.pyd", (COMMIT, COMMIT))
    make(stage, "0.1.0", again, COMMIT)
    assert package_code(again) != package_code(msi)


def package_code(msi: Path) -> str:
    said = subprocess.run(["msiinfo", "suminfo", msi], check=True, capture_output=True, text=True).stdout
    return next(line for line in said.splitlines() if line.startswith("Revision"))


def test_only_the_times_of_a_summary_are_changed(msi: Path) -> None:
    made = msi.read_bytes()
    later = timed(made, COMMIT + 1)

    changed = [index for index, (one, other) in enumerate(zip(made, later, strict=True)) if one != other]
    assert 2 <= len(changed) <= 16
    assert timed(later, COMMIT) == made
    filetime = (COMMIT + 11_644_473_600) * 10_000_000
    assert made.count(struct.pack("<Q", filetime)) == 2


def test_a_file_without_a_summary_is_refused() -> None:
    with pytest.raises(NoSummaryError):
        timed(bytes(1000), COMMIT)
