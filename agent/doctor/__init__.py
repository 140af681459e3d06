"""What finds out how a register's devices are: the test sheet, the scan test, the checks."""
