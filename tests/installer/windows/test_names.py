"""Names of the package's parts follow from what they name."""

from __future__ import annotations

import re

import pytest

from installer.windows.names import guid, identifier, product_version, service_sid


def test_a_services_sid_is_the_one_that_windows_makes() -> None:
    # Given the one service whose SID Microsoft documents
    assert service_sid("TrustedInstaller") == "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
    assert service_sid("trustedinstaller") == service_sid("TRUSTEDINSTALLER")


def test_identifiers_fit_a_tables_key() -> None:
    one, other = identifier("fil", "0.1.0/lib/a b/ć.py"), identifier("fil", "0.1.0/lib/a b/c.py")

    assert one != other
    assert one == identifier("fil", "0.1.0/lib/a b/ć.py")
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]{0,71}", one)


def test_guids_differ_with_what_they_are_of() -> None:
    made = {guid("product", "0.1.0"), guid("product", "0.1.1"), guid("component", "0.1.0")}

    assert len(made) == 3
    assert all(re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", one) for one in made)


@pytest.mark.parametrize("version", ["0.1", "0.1.0.1", "0.1.0rc1", "256.0.0", "0.1.65536", "0.-1.0"])
def test_a_version_that_windows_cannot_compare_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match=re.escape(version)):
        product_version(version)


def test_any_other_is_taken() -> None:
    assert product_version("255.255.65535") == "255.255.65535"
