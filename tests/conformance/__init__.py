"""What any centre must do, tried from outside; README.md says how to run it."""
