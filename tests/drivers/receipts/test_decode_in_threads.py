"""Several sources begin to decode at once, each in a thread of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
THREADS = """
import threading
from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from drivers.receipts.template import template_from
start = threading.Barrier(8)
template = b'name = "a"\\n[items]\\nlines = ["{name} {amount}"]\\n[total]\\nwords = ["total"]'
documents = (b"", b'{"receipts":[{"kind":"sale","currency":"EUR","total_minor":1}]}', b'[{"journal":"x"}]')
def first(number):
    start.wait()
    if number % 4 == 3:
        template_from(template, "a test")
    else:
        decode(documents[number % 4], DecodeOptions())
threads = [threading.Thread(target=first, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("decoded")
"""
# A fresh interpreter that did not guard its first decoding crashed in one run of three.
RUNS = 8


@pytest.mark.processes
def test_the_first_decoding_of_several_threads_at_once_does_not_crash() -> None:
    for _ in range(RUNS):
        done = subprocess.run([sys.executable, "-c", THREADS], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "decoded\n"), done.stderr[-2000:]
