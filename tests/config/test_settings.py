"""Settings: precedence, and messages that name the place, the key and the remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.load import load_settings
from config.settings import Settings, SettingsError, judged_settings, setting_names, settings_from
from config.shown_values import without_password
from drivers.scanning.serial_scanner import SerialScannerOptions
from loyalty.centre_config import CentreConfig, ConfigError, config_from_values
from loyalty.identification import IdentificationRule

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"
WHOLE = """
[register]
store = "12"
register = "3"
currency = "RSD"
time_zone = "Europe/Belgrade"
language = "sr"

[paths]
state = "state"

[page]
port = 9000
origins = ["https://pos.example", "http://[::1]:8080"]

[[scanners]]
name = "counter"
port = "/dev/ttyACM0"
baud = 115200

[[receipts]]
name = "printer"
spool = "/var/spool/tillside"
code_page = "CP852"

[[identification]]
name = "plastic"
prefixes = ["29", "28"]
ranges = [["2900", "2949"]]
lengths = [13]
check_digit = "gs1"
to_pos = true
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "tillside.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_whole_file_is_read_and_relative_folders_stand_beside_it(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, WHOLE), environment={})

    assert settings.register.store == "12"
    assert settings.page.port == 9000
    assert settings.page.host == "127.0.0.1"
    assert settings.page.origins == ("https://pos.example", "http://[::1]:8080")
    assert settings.paths.state == tmp_path / "state"
    assert settings.scanners[0].driver == "serial"
    assert settings.scanners[0].options == {"port": "/dev/ttyACM0", "baud": 115200}
    assert settings.receipts[0].spool == Path("/var/spool/tillside")
    assert settings.receipts[0].format == "auto"
    assert settings.identification == (
        IdentificationRule(
            name="plastic",
            prefixes=("29", "28"),
            ranges=(("2900", "2949"),),
            lengths=(13,),
            check_digit="gs1",
            to_pos=True,
        ),
    )


@pytest.mark.parametrize(
    "second",
    [
        '[[scanners]]\nname = "b"\ndriver = "shared"\nspool = "./scans"',
        '[[receipts]]\nname = "b"\nspool = "x/../scans"',
        '[[receipts]]\nname = "b"\nfolder = "scans"',
    ],
)
def test_two_that_read_one_folder_are_refused(tmp_path: Path, second: str) -> None:
    shared = '[[scanners]]\nname = "a"\ndriver = "shared"\nspool = "scans"'

    with pytest.raises(SettingsError, match=r"scans' is used twice\. Give each"):
        load_settings(written(tmp_path, f"{shared}\n{second}"), environment={})


def test_the_spool_of_a_shared_scanner_stands_beside_the_file_too(tmp_path: Path) -> None:
    shared = '[[scanners]]\nname = "counter"\ndriver = "shared"\nspool = "{}"'

    relative = load_settings(written(tmp_path, shared.format("scans")), environment={})
    absolute = load_settings(written(tmp_path, shared.format("/var/spool/scans")), environment={})

    assert relative.scanners[0].options == {"spool": str(tmp_path / "scans")}
    assert absolute.scanners[0].options == {"spool": "/var/spool/scans"}


@pytest.mark.parametrize(("given", "beside"), [("shop-ca.pem", True), ("/etc/ssl/shop-ca.pem", False)])
def test_the_ca_of_the_shops_network_stands_beside_the_file_too(tmp_path: Path, given: str, beside: bool) -> None:
    settings = load_settings(written(tmp_path, f'[centre]\nca_file = "{given}"\n'), environment={})

    assert settings.centre.ca_file == (tmp_path / given if beside else Path(given))


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    file = written(tmp_path, WHOLE)

    settings = load_settings(
        None, environment={"TILLSIDE_CONFIG": str(file), "TILLSIDE_PAGE__PORT": "9001", "TILLSIDE_REGISTER__STORE": "7"}
    )

    assert (settings.page.port, settings.register.store, settings.register.register) == (9001, "7", "3")


def test_without_a_file_at_the_default_place_everything_has_a_default() -> None:
    settings = settings_from({}, {}, where="nowhere")

    assert settings == Settings()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[page]\nprot = 1", ["tillside.toml", "[page] prot", "no such key", "'port'"]),
        ("[pages]\nport = 1", ["[pages]", "no such section", "'page'"]),
        ("page = 3", ["page", "not a table", "[page]"]),
        ('[scanners]\nname = "a"', ["scanners", "not a table", "[[scanners]]"]),
        ('[page]\nport = "8787"', ["[page] port", "expected int, got str"]),
        ("[page]\nport = 0", ["[page] port", ">= 1"]),
        ("[page]\nport = 70000", ["[page] port", "<= 65535"]),
        ('[page]\nhost = "0.0.0.0"', ["[page] host", "loopback", "127.0.0.1"]),
        ('[page]\nhost = "localhost"', ["[page] host", "loopback", "127.0.0.1"]),
        ('[page]\norigins = "https://pos.example"', ["[page] origins", "expected array"]),
        ('[page]\norigins = ["*"]', ["[page] origins", "'*' is a pattern", "by itself"]),
        ('[page]\norigins = ["https://*.pos.example"]', ["[page] origins", "is a pattern"]),
        ('[page]\norigins = ["null"]', ["[page] origins", "'null' is no origin", "https://pos.example"]),
        ('[page]\norigins = ["pos.example"]', ["[page] origins", "is no origin"]),
        ('[page]\norigins = ["file:///pos.html"]', ["[page] origins", "is no origin"]),
        ('[page]\norigins = ["https://"]', ["[page] origins", "is no origin"]),
        ('[page]\norigins = ["https://[::1"]', ["[page] origins", "is no origin"]),
        ('[page]\norigins = ["https://pos.example:x"]', ["[page] origins", "is no origin"]),
        ('[page]\norigins = ["https://kasa-č.example"]', ["[page] origins", "is no origin"]),
        ('[page]\norigins = ["https://pos.example/"]', ["[page] origins", "Write 'https://pos.example'"]),
        ('[page]\norigins = ["https://Pos.example:443/till?a"]', ["[page] origins", "Write 'https://pos.example'"]),
        ('[page]\norigins = ["http://u@10.0.0.4:8080"]', ["[page] origins", "Write 'http://10.0.0.4:8080'"]),
        (f"[page]\norigins = {['https://pos.example'] * 9}", ["[page] origins", "<= 8"]),
        ('[register]\ncurrency = "din"', ["[register] currency"]),
        ('[register]\nlanguage = "xx"', ["[register] language"]),
        ('[register]\ntime_zone = "Mars/Base"', ["[register] time_zone", "Europe/Belgrade"]),
        ('[register]\ntime_zone = "../../etc/passwd"', ["[register] time_zone"]),
        ('[register]\ntime_zone = "Europe"', ["[register] time_zone", "'Europe'", "Europe/Belgrade"]),
        ('[paths]\nstate = "\\u0000"', ["[paths] state", "without NUL"]),
        ("[paths]\nstate = 5", ["[paths] state", "folder"]),
        ('[[scanners]]\nport = "x"', ["[[scanners]] number 1:", "name"]),
        ('[[scanners]]\nname = "a"\nlimits = [1]', ["[[scanners]] number 1 'a', limits", "not a single value"]),
        ('[[receipts]]\nname = "a"\nspool = "x"\nspol = "y"', ["[[receipts]] number 1 'a', spol", "'spool'"]),
        ('[[scanners]]\nname="a"\n[[scanners]]\nname="a"', ["[[scanners]] name", "'a' is used twice"]),
        (
            '[[receipts]]\nname="a"\nspool="x"\n[[receipts]]\nname="b"\nspool="y"',
            ["number 2 'b', authoritative", "none of 2 sources say it", "for that one, and for no other"],
        ),
        (
            '[[receipts]]\nname="a"\nspool="x"\nauthoritative=true\n'
            '[[receipts]]\nname="b"\nfolder="y"\nauthoritative=true',
            ["number 2 'b', authoritative", "2 of 2 sources say it"],
        ),
        (
            '[[receipts]]\nname="a"\nwebhook=true\nauthoritative=true\n[[receipts]]\nname="b"\nwebhook=true',
            ["number 2 'b', webhook", "takes the calls already"],
        ),
        (
            '[[receipts]]\nname="a"\nspool="x"\nauthoritative=true\n[[receipts]]\nname="a"\nfolder="y"',
            ["number 2 'a', name", "Give each its own name"],
        ),
        (
            '[[receipts]]\nname="a"',
            ["[[receipts]] number 1 'a', spool, webhook, folder, database", "Say where the receipts come from"],
        ),
        ('[[receipts]]\nname="a"\nspool="x"\nfolder="y"', ["number 1 'a', spool and folder", "one kind"]),
        ('[[receipts]]\nname="a"\nspool="x"\npattern="*"', ["number 1 'a', pattern", "goes with folder", "Remove it"]),
        (
            '[[receipts]]\nname="a"\ndatabase="env:X"\nquery="SELECT 1"\nhigh_water="id"\nmapping="m.toml"',
            ["number 1 'a', query", "no :high_water", "ORDER BY"],
        ),
        ('[[receipts]]\nname="a"\ndatabase="env:X"', ["number 1 'a', query", "missing", "docs/sources.md"]),
        ('[[receipts]]\nname="a"\nfolder="x"\ncomplete="soon"', ["number 1 'a', complete", "'soon'"]),
        ("[page\nport = 1", ["not TOML", "line 1"]),
        ("identification = 3", ["identification", "not a table", "[[identification]]"]),
        ('[[identification]]\nprefixes = ["29"]', ["[[identification]] number 1:", "name"]),
        (
            '[[identification]]\nname="a"\n[[identification]]\nname="gold"\nprefix = "29"',
            ["[[identification]] number 2 'gold', prefix", "no such key", "'prefixes'"],
        ),
        (
            '[[identification]]\nname="a"\nprefixes = "29"',
            ["[[identification]] number 1 'a', prefixes", "expected array, got str"],
        ),
        ('[[identification]]\nname="a"\nlengths = ["13"]', ["number 1 'a', lengths", "expected int"]),
        ('[[identification]]\nname="a"\nranges = [["1"]]', ["number 1 'a', ranges", "length 2"]),
        ('[[identification]]\nname="a"\nkind = "vip"', ["number 1 'a', kind", "'vip'"]),
        (
            '[[identification]]\nname="a"\nprefixes=["29"]\n[[identification]]\nname="b"\nranges=[["29", "28"]]',
            ["[[identification]] number 2 'b', ranges", "ends before it begins", "Write the smaller"],
        ),
        (
            '[[identification]]\nname="a"\nprefixes=["29"]\n[[identification]]\nname="a"\nprefixes=["28"]',
            ["[[identification]] number 1 'a', name", "another rule has this name", "Give each rule a name of its own"],
        ),
        ('[[identification]]\nname="a"', ["[[identification]] number 1 'a'", "every code"]),
    ],
)
def test_a_wrong_setting_names_file_key_and_remedy(tmp_path: Path, text: str, parts: list[str]) -> None:
    file = written(tmp_path, text)

    with pytest.raises(SettingsError) as raised:
        load_settings(file, environment={})

    for part in [str(file), *parts]:
        assert part in str(raised.value)


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: no such file\. Create it"):
        load_settings(tmp_path / "none.toml", environment={})


def test_a_file_that_is_no_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "tillside.toml").write_bytes(b"[page]\n\xff")

    with pytest.raises(SettingsError, match="not UTF-8"):
        load_settings(tmp_path / "tillside.toml", environment={})


def test_there_is_a_limit_to_rules(tmp_path: Path) -> None:
    tables = (f'[[identification]]\nname = "r{number}"\nprefixes = ["29{number:03}"]' for number in range(101))

    with pytest.raises(SettingsError, match=r"identification.*100"):
        load_settings(written(tmp_path, "\n".join(tables)), environment={})


@pytest.mark.parametrize(
    ("variable", "value", "parts"),
    [
        ("TILLSIDE_PAGE__PROT", "1", ["TILLSIDE_PAGE__PROT", "'prot'", "'port'"]),
        ("TILLSIDE_PAGES__PORT", "1", ["TILLSIDE_PAGES__PORT", "'pages'", "'page'"]),
        ("TILLSIDE_PAGE__PORT", "http", ["TILLSIDE_PAGE__PORT", "expected int"]),
        ("TILLSIDE_SCANNERS__NAME", "x", ["TILLSIDE_SCANNERS__NAME", "a list", "settings file"]),
        ("TILLSIDE_PAGE__ORIGINS", "https://pos.example", ["TILLSIDE_PAGE__ORIGINS", "a list", "settings file"]),
        ("TILLSIDE_IDENTIFICATION__NAME", "x", ["TILLSIDE_IDENTIFICATION__NAME", "a list", "settings file"]),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        settings_from({}, {variable: value}, where="file")

    for part in parts:
        assert part in str(raised.value)


def test_other_programs_variables_are_none_of_our_business() -> None:
    assert settings_from({}, {"TILLSIDE_HOME": "x", "PAGE__PORT": "1"}, where="file") == Settings()


def documented(text: str) -> list[str]:
    return re.findall(r"^\| `([a-z_.\[\]*]+)` \|", text, re.MULTILINE)


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    rows = documented(DOCUMENT.read_text(encoding="utf-8").partition("## Options")[0])

    assert sorted(rows) == sorted(setting_names())
    assert len(rows) == len(set(rows))


def test_documented_defaults_are_the_real_ones() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    settings = Settings()

    for name in setting_names():
        section, _, key = name.partition(".")
        if section in ("scanners[]", "receipts[]", "identification[]", "paths"):
            continue
        default = getattr(getattr(settings, section), key)
        expected = "none" if default is None else f"`{list(default) if isinstance(default, tuple) else default}`"
        assert f"| `{name}` | {expected} |" in text, name


def test_documented_defaults_of_a_rule_are_the_real_ones() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rule = IdentificationRule(name="x")

    for name, value in {"kind": "card", "check_digit": "none", "drop_leading": 0, "drop_trailing": 0}.items():
        assert getattr(rule, name) == value
        assert f"| `identification[].{name}` | `{value}` |" in text
    assert rule.to_pos is False
    assert "| `identification[].to_pos` | `false` |" in text


def test_the_examples_in_the_documentation_are_valid(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)

    for example in examples:
        load_settings(written(tmp_path, example), environment={})
    assert len(examples) == 2


def test_every_option_of_the_serial_driver_is_documented_with_its_default() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Options of the `serial`")[2]
    options = msgspec.structs.asdict(SerialScannerOptions(port="x"))
    del options["name"]  # the table's own key

    assert sorted(documented(text)) == sorted(options)
    for name in ("baud", "data_bits", "parity", "stop_bits", "idle_ms", "repeat_ms"):
        assert f"| `{name}` | `{options[name]}` |" in text, name


@pytest.mark.parametrize("section", sorted({name.partition(".")[0].removesuffix("[]") for name in setting_names()}))
def test_of_a_registers_settings_the_centre_says_identification_rules_alone(section: str) -> None:
    # where it listens, the way to the centre, whose releases it takes, and where things are kept stay a register's own
    said: dict[str, list[object]] = {"identification": [], section: []}

    if section == "identification":
        assert config_from_values(said) == CentreConfig(identification=())
    else:
        with pytest.raises(ConfigError, match="no such key"):
            config_from_values(said)


# -- what is said of a wrong value -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "environment", "parts"),
    [
        ({"page": {"port": 70000}}, {}, ["till.toml: [page] port: 70000", "<= 65535"]),
        ({"register": {"language": "xx"}}, {}, ["'xx'", "Write one of 'en', 'sr'"]),
        ({"scanners": [{"name": "a", "port": [1]}]}, {}, ["[1] is not a single value"]),
        ({}, {"STORE__BALLAST_MB": "-1"}, ["[store] ballast_mb: '-1'", ">= 0"]),
        ({}, {"PAGE__HOST": "10.0.0.5"}, ["[page] host: '10.0.0.5'", "use 127.0.0.1"]),
        ({}, {"REGISTER__TIME_ZONE": "Nowhere"}, ["[register] time_zone: 'Nowhere'", "Europe/Belgrade"]),
        ({}, {"REGISTER__CONNECTOR": "zzz"}, ["[register] connector", "'zzz'", "Known here"]),
        ({}, {"PAGE__PORT": "http"}, ["[page] port: 'http'", "expected int"]),
    ],
)
def test_a_wrong_value_is_told_with_where_it_is_said_and_what_it_is(
    document: dict[str, Any], environment: dict[str, str], parts: list[str]
) -> None:
    said = {f"TILLSIDE_{name}": text for name, text in environment.items()}

    [problem] = judged_settings(document, said, "till.toml").problems

    assert all(part in str(problem) for part in parts), str(problem)
    for variable in said:
        assert str(problem).startswith(f"environment variable {variable}: ")
        assert "till.toml" not in str(problem)


def test_a_value_of_the_file_is_told_of_the_file_though_a_variable_says_another() -> None:
    document = {"register": {"time_zone": "Nowhere"}}
    [problem] = judged_settings(document, {"TILLSIDE_PAGE__PORT": "8788"}, "till.toml").problems
    assert problem.where == "till.toml"


def test_a_password_in_a_wrong_value_is_not_told() -> None:
    document = {"centre": {"proxy": f"http://till:secret@proxy/{'x' * 200}"}}
    [problem] = judged_settings(document, {}, "till.toml").problems
    assert "secret" not in str(problem)
    assert "proxy/" in str(problem)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("system", "system"),
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://user:secret@proxy:3128", "http://…@proxy:3128"),
        ("http://user:sec?ret@proxy:3128", "http://…"),
        ("http://user:s@e?c@proxy", "http://…"),
        ("user:secret@proxy:3128", "…@proxy:3128"),
        ("postgresql://till:S3cr?et@db/pos", "postgresql://…"),
        ("postgresql+psycopg://u:se#cret@h/d", "postgresql+psycopg://…@h/d"),
        ("postgresql://h/d?password=secret", "postgresql://h/d"),
        ("mssql+pyodbc://u:secret@h/d?driver=x", "mssql+pyodbc://…@h/d"),
        ("DRIVER={x};SERVER=h;UID=u;PWD=secret", "…"),
        ("env:POS_DB", "env:POS_DB"),
    ],
)
def test_no_part_of_a_password_is_shown(address: str, shown: str) -> None:
    assert without_password(address) == shown
