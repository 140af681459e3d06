"""Set-up of machines: the scripts behind the Makefile, units of systemd, and the Debian package."""
