"""Tests of what a machine is set up with."""
