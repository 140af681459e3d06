"""The register: supervising drivers, the checkout, the local API with the cashier page, the command line.

The only place that knows both devices and sync. Never parses device bytes.
"""
