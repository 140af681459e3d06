"""ESC/POS: where commands begin and end, which letters a byte means, and what the paper shows."""
