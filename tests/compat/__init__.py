"""An older agent against the centre of now."""
