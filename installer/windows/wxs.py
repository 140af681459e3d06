"""What wixl is told: a tree of files, the service of one of them, its event source, and what runs when.

A pure core: paths in, text out. What wixl has no words for is in `installer.windows.tables`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from installer.windows.names import UPGRADE_CODE, guid, identifier, product_version

SERVICE: Final = "Tillside"
ACCOUNT: Final = r"NT AUTHORITY\LocalService"
MAKER: Final = "The Tillside founders"
# The agent's numbers of events have no text of their own: this program of Windows says "%1" for 1 to 1000.
MESSAGES: Final = r"%SystemRoot%\System32\EventCreate.exe"
# EVENTLOG_ERROR_TYPE, _WARNING_TYPE and _INFORMATION_TYPE.
EVENT_TYPES: Final = 0x1 | 0x2 | 0x4

COMMAND: Final = "tillside.cmd"
SETTINGS: Final = "tillside.toml"
INTERPRETER: Final = "python/python.exe"
# It has a component of its own, since Windows takes a component's first file for the service's program.
INTERPRETER_ID: Final = "Interpreter"
SETTINGS_ID: Final = "Settings"
TOP: Final = "."
DATA: Final = "DATAFOLDER"
PROGRAM: Final = "INSTALLFOLDER"
OLDER, NEWER = "OLDERVERSION", "NEWERVERSION"
# What an installation may be told: the file with the enrolment code, which register this is, and on removal that
# nothing shall stay.
PROPERTIES: Final = ("ENROLMENT_FILE", "REGISTER", "PURGE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """`files` are the version's own, below its folder; the command and the settings come beside them."""

    version: str
    files: tuple[str, ...]

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder below the version's, parents first; `TOP` is the version's own."""
        return tuple(sorted({str(parent) for file in self.files for parent in PurePosixPath(file).parents}))

    @property
    def compiled(self) -> tuple[str, ...]:
        """Folders with a module of ours, beside which Python puts what it makes of it."""
        modules = (PurePosixPath(file) for file in self.files if file.startswith("lib/") and file.endswith(".py"))
        return tuple(sorted({str(module.parent) for module in modules}))

    def compiled_in(self, folder: str) -> tuple[str, ...]:
        """What Python makes of the modules in `folder`, by name."""
        modules = (PurePosixPath(file) for file in self.files if file.endswith(".py"))
        return tuple(f"{module.stem}.{self._tag}.pyc" for module in modules if str(module.parent) == folder)

    @property
    def _tag(self) -> str:
        """Which Python made it, as it says in the names: `cpython-313`."""
        found = (re.fullmatch(r"python/python(\d+)\.zip", file) for file in self.files)
        return f"cpython-{next(match[1] for match in found if match)}"

    def folder_id(self, folder: str) -> str:
        return identifier("dir", f"{self.version}/{folder}")

    def cache_id(self, folder: str) -> str:
        return identifier("pyc", f"{self.version}/{folder}")

    def component_id(self, folder: str) -> str:
        return identifier("cmp", f"{self.version}/{folder}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A program of ours that the installation runs as the system, where `when` holds, right after `after`."""

    name: str
    arguments: str
    after: str
    when: str
    must_succeed: bool = True


# A code is used once and named on a command line that others see: its file is named instead.
_CONFIG: Final = f'--config "[{DATA}]{SETTINGS}"'
ACTIONS: Final = (
    # Python's own folder is read-only for the service, which would otherwise compile everything at every start.
    Action(
        name="Compile",
        arguments=f'-B -m compileall -q --invalidation-mode unchecked-hash "[{PROGRAM}][ProductVersion]\\lib"',
        after="InstallFiles",
        when='NOT (REMOVE~="ALL")',
        must_succeed=False,
    ),
    Action(
        name="Enrol",
        arguments=f'-B -m agent.cli.entry enroll --delay --unless-enrolled --code-file "[ENROLMENT_FILE]" {_CONFIG}',
        after="InstallServices",
        when='ENROLMENT_FILE AND NOT REGISTER AND NOT (REMOVE~="ALL")',
    ),
    Action(
        name="EnrolAs",
        arguments=(
            '-B -m agent.cli.entry enroll --delay --unless-enrolled --code-file "[ENROLMENT_FILE]" '
            f'--register "[REGISTER]" {_CONFIG}'
        ),
        after="Enrol",
        when='ENROLMENT_FILE AND REGISTER AND NOT (REMOVE~="ALL")',
    ),
    Action(
        name="Recover",
        arguments="-B -m agent.windows.recovery",
        after="EnrolAs",
        when='NOT (REMOVE~="ALL")',
    ),
    Action(
        name="Purge",
        arguments=f'-B -m agent.windows.purge "[{DATA}]."',
        after="DeleteServices",
        when='PURGE AND REMOVE~="ALL" AND NOT UPGRADINGPRODUCTCODE',
    ),
)


def source(package: Package) -> str:
    """The whole source for wixl, to be run where the package's files are. Raises ValueError for a wrong version."""
    version = product_version(package.version)
    wix = Element("Wix", xmlns="http://schemas.microsoft.com/wix/2006/wi")
    about = {"Name": "Tillside", "Language": "1033", "Version": version, "Manufacturer": MAKER}
    product = SubElement(wix, "Product", {"Id": guid("product", version), "UpgradeCode": UPGRADE_CODE, **about})
    described = {"Description": "Tillside, the register's side", "Manufacturer": MAKER}
    SubElement(
        product, "Package", {**described, "InstallerVersion": "500", "Compressed": "yes", "InstallScope": "perMachine"}
    )
    SubElement(product, "Media", Id="1", Cabinet="tillside.cab", EmbedCab="yes")
    _replaces_other_versions(product, version)
    feature = Element("Feature", Id="Register", Level="1", Title="Tillside")
    root = SubElement(product, "Directory", Id="TARGETDIR", Name="SourceDir")
    programs = SubElement(root, "Directory", Id="ProgramFiles64Folder", Name="PFiles")
    _program(SubElement(programs, "Directory", Id=PROGRAM, Name="Tillside"), package, feature)
    data = SubElement(root, "Directory", Id="CommonAppDataFolder", Name="Data")
    _data(SubElement(data, "Directory", Id=DATA, Name="Tillside"), feature)
    product.append(feature)
    _actions(product)
    indent(wix)
    return tostring(wix, encoding="unicode", xml_declaration=True) + "\n"


def _replaces_other_versions(product: Element, version: str) -> None:
    """Any other is taken away, a newer one too: going back is installing the one before."""
    upgrade = SubElement(product, "Upgrade", Id=UPGRADE_CODE)
    older = {"Minimum": "0.0.0", "IncludeMinimum": "yes", "Maximum": version, "IncludeMaximum": "no"}
    SubElement(upgrade, "UpgradeVersion", {"Property": OLDER, **older})
    SubElement(upgrade, "UpgradeVersion", Property=NEWER, Minimum=version, IncludeMinimum="no")


def _program(folder: Element, package: Package, feature: Element) -> None:
    _component(folder, feature, "Command", [(COMMAND, COMMAND)])
    made: dict[str, Element] = {}
    compiled = frozenset(package.compiled)
    for name in package.folders:
        at = PurePosixPath(name)
        above = folder if name == TOP else made[str(at.parent)]
        made[name] = SubElement(above, "Directory", Id=package.folder_id(name), Name=at.name or package.version)
        own = [file for file in package.files if str(PurePosixPath(file).parent) == name and file != INTERPRETER]
        files = [(identifier("fil", path), path) for path in (f"{package.version}/{file}" for file in own)]
        if files:
            _component(made[name], feature, package.component_id(name), files)
        if name in compiled:
            SubElement(made[name], "Directory", Id=package.cache_id(name), Name="__pycache__")
    _service(made[str(PurePosixPath(INTERPRETER).parent)], package, feature)


def _service(folder: Element, package: Package, feature: Element) -> None:
    component = _component(folder, feature, INTERPRETER_ID, [(INTERPRETER_ID, f"{package.version}/{INTERPRETER}")])
    described = {"DisplayName": "Tillside register", "Description": "Scanners, receipts, page and centre of this till."}
    kind = {"Type": "ownProcess", "Start": "auto", "ErrorControl": "normal", "Vital": "yes"}
    runs = {"Name": SERVICE, "Account": ACCOUNT, "Arguments": f"-B -m agent.windows.service {_CONFIG}"}
    SubElement(component, "ServiceInstall", {"Id": "Service", **runs, **described, **kind})
    when = {"Start": "install", "Stop": "both", "Remove": "uninstall", "Wait": "yes"}
    SubElement(component, "ServiceControl", {"Id": "ServiceControl", "Name": SERVICE, **when})


def _data(folder: Element, feature: Element) -> None:
    SubElement(_component(folder, feature, SETTINGS_ID, [(SETTINGS, SETTINGS)]), "CreateFolder")
    source_of_events = _component(folder, feature, "EventSource", [])
    key = {"Root": "HKLM", "Key": rf"SYSTEM\CurrentControlSet\Services\EventLog\Application\{SERVICE}"}
    message = {"Name": "EventMessageFile", "Type": "expandable", "Value": MESSAGES, "KeyPath": "yes"}
    SubElement(source_of_events, "RegistryValue", {**key, **message})
    types = {"Name": "TypesSupported", "Type": "integer", "Value": str(EVENT_TYPES)}
    SubElement(source_of_events, "RegistryValue", {**key, **types})


def _component(folder: Element, feature: Element, name: str, files: list[tuple[str, str]]) -> Element:
    """A component with its files; the first is what Windows looks for to know whether it is there."""
    of_these = guid("component", *(path for _, path in files), name)
    component = SubElement(folder, "Component", Id=name, Guid=of_these, Win64="yes")
    for position, (file, path) in enumerate(files):
        key = {"KeyPath": "yes"} if position == 0 else {}
        attributes = {"Id": file, "Name": PurePosixPath(path).name, "Source": path, "DiskId": "1"}
        SubElement(component, "File", {**attributes, **key})
    SubElement(feature, "ComponentRef", Id=name)
    return component


def _actions(product: Element) -> None:
    for action in ACTIONS:
        how = {"Execute": "deferred", "Impersonate": "no", "Return": "check" if action.must_succeed else "ignore"}
        program = {"FileKey": INTERPRETER_ID, "ExeCommand": action.arguments}
        SubElement(product, "CustomAction", {"Id": action.name, **program, **how})
    sequence = SubElement(product, "InstallExecuteSequence")
    SubElement(sequence, "RemoveExistingProducts", After="InstallInitialize")
    for action in ACTIONS:
        SubElement(sequence, "Custom", Action=action.name, After=action.after).text = action.when
