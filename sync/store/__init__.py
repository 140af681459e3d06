"""The register's durable store: one encrypted SQLite file, one writer, many readers.

Owns every SQL statement of the register. Never talks to the network and never knows what a receipt is
worth. Start at `store.py`.
"""
