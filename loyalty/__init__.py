"""The pure domain: receipts, members, programs and the rules that turn one into points.

Owns the nouns and the arithmetic. Never does I/O, never reads a clock, never rolls a die and never
touches a float.
"""
