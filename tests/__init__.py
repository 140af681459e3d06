"""Tests mirror the folders; `faults`, `browser` and `bench` cut across them."""
