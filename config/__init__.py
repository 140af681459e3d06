"""What an operator may set: typed settings with defaults, read from a file and the environment.

Owns the errors that name file, key and remedy. Never keeps state.
"""
