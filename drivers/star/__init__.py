"""Star printers: where their commands begin and end, and what the paper shows."""
