"""Set-up of machines: today the scripts behind the Makefile; packages, units and updates go here."""
