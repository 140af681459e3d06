"""Tests of the centre, and the register they talk to it with."""
