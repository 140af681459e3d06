"""What a register on Windows needs and no other: its service, its log, and what it cannot do there."""
