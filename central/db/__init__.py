"""The centre's database: its tables, its migrations and the one door to it."""
