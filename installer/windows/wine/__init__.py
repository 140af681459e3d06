"""The Windows package tried under wine, with a Python for Windows that a package index has: never part of a package."""
