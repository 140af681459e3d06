"""Receipts as a POS prints or sends them, read into the one Receipt of the house."""
