"""Side-by-side figures: `python -m tests.bench NAME --json`. Nothing here is a test and nothing asserts a time."""
