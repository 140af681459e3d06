"""The register's Windows package: what is in the MSI, and its making under Linux by wixl and msibuild."""
