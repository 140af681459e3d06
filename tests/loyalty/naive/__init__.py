"""A second loyalty engine, to hold the first against: written from docs/program.md, in fractions, sharing no code.

It reads the JSON of programs, receipts and member files as plain dictionaries, and works everything out of all receipts
again whenever it is asked. It is slow, and never the model for anything. What it does not do: fill in a receipt that is
seen twice, find one by anything but its key or number, goodwill, events and rewards.
"""
