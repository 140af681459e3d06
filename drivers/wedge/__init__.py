"""Keyboard-wedge scanners on Linux: scanners that type what they read."""
