"""Tests of the receipt readers, and the printers of receipts they use."""
