"""Exit codes of every command; apart from `agent.cli.outcome`, whose imports a light command does without."""

from __future__ import annotations

DONE, PROBLEM, USAGE, NOT_ENROLLED, DEGRADED = 0, 1, 2, 3, 4
