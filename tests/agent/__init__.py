"""The register: its parts one by one, and put together."""
