"""Networks that misbehave on purpose, and the tests of what must be survived."""
