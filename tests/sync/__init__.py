"""What travels between a register and its centre, from pure rules to real sockets."""
