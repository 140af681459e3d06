"""Whatever schemathesis asks a register is answered as its OpenAPI document says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.agent.fuzzing import fuzz

# Of each operation: some hundred calls in all. `make fuzz` makes thousands.
EXAMPLES = 6


@pytest.mark.long
@pytest.mark.processes
def test_whatever_is_asked_is_answered_as_the_document_says(tmp_path: Path) -> None:
    seed = random.randrange(2**31)
    print(f"seed {seed}")

    done = fuzz(tmp_path, seed=seed, examples=EXAMPLES, phases="fuzzing")

    assert done.returncode == 0, done.stdout
