"""The printer relay: a process of its own between the POS and its printer, standard library only.

Owns passing the bytes and the spool that keeps each job. Never reads a receipt, never talks to the
centre, and never lets its own trouble reach the sale.
"""
