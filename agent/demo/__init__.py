"""A whole shop on one machine: real processes, ports and files around virtual people and devices."""
