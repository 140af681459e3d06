"""What travels between register and centre, and the register's durable store.

Owns records, wire format, signatures, the protocol as a sans-IO session, the local SQLite store, the
HTTP client and the loop that joins them. Never knows what a receipt is worth.
"""
