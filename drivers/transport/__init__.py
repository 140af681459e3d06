"""Ways to exchange bytes with a device: serial, TCP, and a twin in memory."""
