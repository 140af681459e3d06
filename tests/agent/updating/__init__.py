"""Tests of how a register is updated."""
