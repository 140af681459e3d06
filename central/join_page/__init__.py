"""The page on which people join with their own telephone: open to all, on a listener of its own."""
