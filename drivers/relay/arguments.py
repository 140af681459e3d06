"""The relay's command line. Owns its options, their defaults, and saying what cannot be used."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from drivers.relay.device import DataBits, Flow, Parity, PortSettings, StopBits, speed_named
from drivers.relay.language import LanguageName
from drivers.relay.ways import FIFO, PTY, USB, WayError, inlet_for, outlet_for

IDLE_MS: Final = 2000
HOLD_MS: Final = 250
SPOOL_CAP_MB: Final = 256
BAUD: Final = 9600
BITS: Final = "8N1"
LAYOUT: Final = "us"
MAX_AFFIX_BYTES: Final = 16

ToPos = Literal["others", "all"]
Prefix = Literal["none", "enter", "tab"]
Suffix = Literal["none", "enter", "tab"]

_BITS = re.compile(r"([78])([NEO])([12])")
_DATA_BITS: Final[dict[str, DataBits]] = {"7": 7, "8": 8}
_PARITIES: Final[dict[str, Parity]] = {"N": "none", "E": "even", "O": "odd"}
_STOP_BITS: Final[dict[str, StopBits]] = {"1": 1, "2": 2}
_ANY_PORT: Final = PortSettings(baud=BAUD, data_bits=8, parity="none", stop_bits=1, flow="none")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))")
_ESCAPED = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrinterSettings:
    """The printer's way: where the POS prints to, the printer, and the spool of its jobs."""

    listen: str
    printer: str
    group: str | None
    serial: PortSettings
    spool: Path
    idle_ms: int
    hold_ms: int
    language: LanguageName


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialSettings:
    """A scanner on a port, and the POS's port; both are set alike.

    `suffix` None means CR, LF or TAB; empty, that silence ends a code.
    """

    port: str
    pos: str
    pos_group: str | None
    baud: int
    data_bits: DataBits
    parity: Parity
    stop_bits: StopBits
    prefix: bytes
    suffix: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WedgeSettings:
    """A keyboard wedge: which device, and how it types."""

    device: str
    layout: str
    prefix: Prefix
    suffix: Suffix | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerSettings:
    """The way of a scanner, and the spool of its codes."""

    source: SerialSettings | WedgeSettings
    scans: Path
    to_pos: ToPos

    @property
    def name(self) -> str:
        return self.source.device if isinstance(self.source, WedgeSettings) else self.source.port

    @property
    def pos(self) -> str:
        return "its keyboard" if isinstance(self.source, WedgeSettings) else self.source.pos


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line says: one way, or both. An empty `register` leaves the name to the agent."""

    printer: PrinterSettings | None
    scanner: ScannerSettings | None
    register: str
    spool_cap_bytes: int
    as_json: bool


def read_arguments(argv: Sequence[str]) -> Settings:
    """Settings of a command line for one register. Prints what is wrong and exits with 2 on one that cannot be used."""
    parser = _parser()
    return _settings(parser, parser.parse_args(argv))


def read_all(argv: Sequence[str]) -> list[Settings]:
    """The same for each register: the one of the command line, or those of the file that it names with --config."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.config is None:
        return [_settings(parser, arguments)]
    given = {name for name, value in vars(arguments).items() if value != parser.get_default(name)}
    if given - {"config", "json"}:
        parser.error("--config goes with --json only: write the other options into its tables")
    return _of_file(parser, arguments.config, as_json=arguments.json)


def _settings(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Settings:
    printer = _group(parser, arguments, "listen", "printer", "spool")
    source = _source(parser, arguments)
    if not (printer or source):
        parser.error(
            "give --listen, --printer and --spool for a printer, or --scans with --scanner and --pos or with --wedge "
            "for a scanner, or both"
        )
    return Settings(
        printer=_printer(parser, arguments) if printer else None,
        scanner=ScannerSettings(source=source, scans=arguments.scans, to_pos=arguments.to_pos) if source else None,
        register=arguments.register,
        spool_cap_bytes=arguments.spool_cap_mb * 1_000_000,
        as_json=arguments.json,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tillside relay",
        description="Passes the POS's bytes to the printer, a shared scanner's codes to the POS, or both, and keeps "
        "printed jobs and members' codes in spools for the agent.",
    )
    printer = parser.add_argument_group("a printer", "all three of the first are needed")
    printer.add_argument(
        "--listen", type=_inlet, metavar="WAY", help="where the POS prints to: HOST:PORT, systemd, a port, pty:, fifo:"
    )
    printer.add_argument("--listen-group", metavar="GROUP", help="group that may open pty: or fifo: (this user alone)")
    printer.add_argument(
        "--printer", type=_outlet, metavar="WAY", help="the printer: HOST:PORT, a port, /dev/usb/lp0, cups:, spooler:"
    )
    printer.add_argument(
        "--printer-baud", type=_speed, default=BAUD, metavar="BAUD", help="of both serial ports (%(default)s)"
    )
    printer.add_argument(
        "--printer-bits", type=_bits, default=BITS, metavar="BITS", help="of both serial ports (%(default)s)"
    )
    printer.add_argument(
        "--printer-flow", choices=get_args(Flow), default="none", help="of both serial ports (%(default)s)"
    )
    printer.add_argument("--spool", type=Path, metavar="FOLDER", help="where jobs are kept for the agent")
    printer.add_argument(
        "--idle-ms", type=_whole(1), default=IDLE_MS, metavar="MS", help="a pause that ends a job (%(default)s)"
    )
    printer.add_argument(
        "--hold-ms", type=_whole(0), default=HOLD_MS, metavar="MS", help="a cut waits for a sick disk (%(default)s)"
    )
    printer.add_argument(
        "--language", choices=get_args(LanguageName), default="escpos", help="of the printer's commands (%(default)s)"
    )
    scanner = parser.add_argument_group(
        "a scanner shared with the POS", "--scans is needed, with --scanner and --pos or with --wedge"
    )
    scanner.add_argument("--scans", type=Path, metavar="FOLDER", help="where members' codes are kept for the agent")
    scanner.add_argument(
        "--to-pos", choices=("others", "all"), default="others", help="codes that the POS gets (%(default)s)"
    )
    scanner.add_argument(
        "--scanner", type=_scanner_port, metavar="PORT", help="device path, usb:serial=…, usb:VID:PID or tcp://…"
    )
    scanner.add_argument(
        "--pos", type=_pos_port, metavar="PORT", help="the port to the POS, or pty:LINK for one to be made"
    )
    scanner.add_argument("--pos-group", metavar="GROUP", help="group that may open pty:LINK (this user alone)")
    scanner.add_argument(
        "--scanner-baud", type=_whole(300), default=BAUD, metavar="BAUD", help="of both ports (%(default)s)"
    )
    scanner.add_argument("--scanner-bits", type=_bits, default=BITS, metavar="BITS", help="of both ports (%(default)s)")
    scanner.add_argument(
        "--scanner-prefix", type=_prefix, default=b"", metavar="TEXT", help=r"sent before each code, such as \x02"
    )
    scanner.add_argument(
        "--scanner-suffix", type=_affix, metavar="TEXT", help=r"sent after each code (\r, \n or \t); empty: nothing"
    )
    scanner.add_argument(
        "--wedge",
        type=_wedge_device,
        metavar="DEVICE",
        help="/dev/input/by-id/…, usb:serial=…, usb:VID:PID or its name",
    )
    scanner.add_argument(
        "--layout", type=_layout, default=LAYOUT, metavar="NAME", help="keyboard that it is set to (%(default)s)"
    )
    scanner.add_argument(
        "--wedge-prefix", choices=get_args(Prefix), default="none", help="its key before each code (%(default)s)"
    )
    scanner.add_argument(
        "--wedge-suffix",
        choices=("either", *get_args(Suffix)),
        default="either",
        help="its key after each code: enter or tab (%(default)s), one of them, or none",
    )
    parser.add_argument("--register", default="", metavar="NAME", help="name of this register in what it keeps")
    parser.add_argument(
        "--spool-cap-mb", type=_whole(1), default=SPOOL_CAP_MB, metavar="MB", help="room for a spool (%(default)s)"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="several registers: a table [[register]] for each")
    parser.add_argument("--json", action="store_true", help="the ready line and the log as JSON lines")
    return parser


def _of_file(parser: argparse.ArgumentParser, path: Path, *, as_json: bool) -> list[Settings]:
    """One for each table, whose keys are the options without their dashes. Exits where the file cannot be used."""
    import tomllib  # noqa: PLC0415  a relay for one register need not load it

    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"--config {path}: {error}")
    registers = tables.pop("register", None)
    if tables or not isinstance(registers, list) or not registers:
        parser.error(f"--config {path}: write a table [[register]] for each register, and nothing else")
    read = []
    for number, table in enumerate(registers, 1):
        parser.usage = f"{path}, register {number}: the options of `tillside relay --help`, without the dashes"
        options = [*_options(parser, table), *(["--json"] if as_json else [])]
        read.append(_settings(parser, parser.parse_args(options)))
    parser.usage = None
    _must_differ(parser, path, read)
    return read


def _options(parser: argparse.ArgumentParser, table: object) -> Iterator[str]:
    if not isinstance(table, dict):
        parser.error("write a table [[register]]")
    for key, value in table.items():
        if key in {"config", "json", "help"} or isinstance(value, (bool, dict, list, float)):
            parser.error(f"{key} = {value!r} is no option of a register")
        yield f"--{key.replace('_', '-')}={value}"


def _must_differ(parser: argparse.ArgumentParser, path: Path, registers: Sequence[Settings]) -> None:
    """Two registers share a network printer at most."""
    seen: set[str] = set()
    for settings in registers:
        for way in _taken_by(settings):
            if way in seen:
                parser.error(f"--config {path}: two registers have {way}: give each its own")
            seen.add(way)


def _taken_by(settings: Settings) -> Iterator[str]:
    if settings.printer is not None:
        if not settings.printer.listen.endswith(":0"):  # any free port
            yield settings.printer.listen
        yield str(settings.printer.spool.absolute())
        if settings.printer.printer.startswith(("/", USB)):
            yield settings.printer.printer
    if settings.scanner is not None:
        yield str(settings.scanner.scans.absolute())
        yield settings.scanner.name


def _group(parser: argparse.ArgumentParser, arguments: argparse.Namespace, *names: str) -> bool:
    """Whether these options, which belong together, are given. Exits where only some are."""
    missing = [f"--{name}" for name in names if getattr(arguments, name) is None]
    if missing and len(missing) < len(names):
        parser.error(f"{' and '.join(missing)} must be given too")
    return not missing


def _printer(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> PrinterSettings:
    if arguments.listen == arguments.printer:
        parser.error("--listen and --printer are the same: the POS needs a way of its own")
    if arguments.listen_group is not None and not arguments.listen.startswith((PTY, FIFO)):
        parser.error("--listen-group is for --listen pty:LINK and fifo:PATH")
    data_bits, parity, stop_bits = arguments.printer_bits
    return PrinterSettings(
        listen=arguments.listen,
        printer=arguments.printer,
        group=arguments.listen_group,
        serial=PortSettings(
            baud=arguments.printer_baud,
            data_bits=_DATA_BITS[data_bits],
            parity=_PARITIES[parity],
            stop_bits=_STOP_BITS[stop_bits],
            flow=arguments.printer_flow,
        ),
        spool=arguments.spool,
        idle_ms=arguments.idle_ms,
        hold_ms=arguments.hold_ms,
        language=arguments.language,
    )


def _source(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> SerialSettings | WedgeSettings | None:
    """The scanner, None where none is given. Exits where it cannot be used."""
    if arguments.wedge is None:
        is_given = _group(parser, arguments, "scanner", "pos", "scans")
    else:
        is_given = _group(parser, arguments, "wedge", "scans")
        if arguments.scanner is not None or arguments.pos is not None:
            parser.error("--wedge goes without --scanner and --pos: start a relay for each scanner")
    if not is_given:
        return None
    if arguments.spool is not None and arguments.spool.absolute() == arguments.scans.absolute():
        parser.error("--spool and --scans are the same folder: give each its own")
    return _wedge(arguments) if arguments.wedge is not None else _serial(parser, arguments)


def _wedge(arguments: argparse.Namespace) -> WedgeSettings:
    suffix = None if arguments.wedge_suffix == "either" else arguments.wedge_suffix
    return WedgeSettings(device=arguments.wedge, layout=arguments.layout, prefix=arguments.wedge_prefix, suffix=suffix)


def _serial(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> SerialSettings:
    if arguments.pos == arguments.scanner:
        parser.error("--scanner and --pos are the same port: the POS needs one of its own")
    if arguments.pos_group is not None and not arguments.pos.startswith(PTY):
        parser.error("--pos-group is for --pos pty:LINK")
    data_bits, parity, stop_bits = arguments.scanner_bits
    return SerialSettings(
        port=arguments.scanner,
        pos=arguments.pos,
        pos_group=arguments.pos_group,
        baud=arguments.scanner_baud,
        data_bits=_DATA_BITS[data_bits],
        parity=_PARITIES[parity],
        stop_bits=_STOP_BITS[stop_bits],
        prefix=arguments.scanner_prefix,
        suffix=arguments.scanner_suffix,
    )


# What an option's text means


def _inlet(text: str) -> str:
    try:
        inlet_for(text, _ANY_PORT)
    except WayError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no way in: {error}") from error
    return text


def _outlet(text: str) -> str:
    try:
        outlet_for(text, _ANY_PORT)
    except WayError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no printer: {error}") from error
    return text


def _speed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and speed_named(int(text))):
        raise argparse.ArgumentTypeError(f"{text!r} is no speed of a serial port, such as 9600, 19200 or 115200")
    return int(text)


def _whole(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up")
        return int(text)

    return number


def _scanner_port(text: str) -> str:
    # pyserial, which a relay without a scanner need not load.
    from drivers.transport.ports import PortNameError, transport_for  # noqa: PLC0415

    try:
        transport_for(text)
    except PortNameError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: {error}") from error
    return text


def _pos_port(text: str) -> str:
    if text.startswith(PTY):
        if sys.platform == "win32" or not text.removeprefix(PTY):
            raise argparse.ArgumentTypeError(f"{text!r}: write pty:LINK with the path of a link; on Linux only")
        return text
    if text.startswith(("tcp://", "socket://")):
        raise argparse.ArgumentTypeError(f"{text!r}: a POS listens to a scanner on a serial port or pty:LINK")
    return _scanner_port(text)


def _wedge_device(text: str) -> str:
    from drivers.wedge.backend import WedgeNameError, check_name  # noqa: PLC0415  as above

    try:
        check_name(text)
    except WedgeNameError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no device: {error}") from error
    return text


def _layout(text: str) -> str:
    from drivers.wedge.keymaps import LAYOUTS  # noqa: PLC0415  as above

    if text not in LAYOUTS:
        raise argparse.ArgumentTypeError(f"{text!r} is no layout; known are {', '.join(LAYOUTS)}")
    return text


def _bits(text: str) -> str:
    if not _BITS.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not data bits, parity and stop bits, such as 8N1 or 7E1")
    return text


def _affix(text: str) -> bytes:
    """What a scanner sends, written with \\r, \\n, \\t, \\\\ and \\xHH."""

    def unescaped(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        if match[2] not in _ESCAPED:
            raise argparse.ArgumentTypeError(rf"{text!r}: known after a backslash are r, n, t, \ and xHH")
        return _ESCAPED[match[2]]

    try:
        meant = _ESCAPE.sub(unescaped, text).encode("iso-8859-1")
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: a scanner sends single bytes") from error
    if len(meant) > MAX_AFFIX_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is longer than {MAX_AFFIX_BYTES} bytes")
    return meant


def _prefix(text: str) -> bytes:
    meant = _affix(text)
    if meant.strip(b"\r\n\t") != meant:
        raise argparse.ArgumentTypeError(f"{text!r}: line ends before a code are understood without being set")
    return meant
