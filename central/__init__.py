"""The reference platform: lets registers in, keeps the ledger, orders changes for them, shows people both.

Uses `sync`'s records and wire format. Never knows a device or a register's insides.
"""
