"""A register's update: fetched, proven, tried beside the version in use, and gone back from by itself."""
