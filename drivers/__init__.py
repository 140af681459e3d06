"""What a device or a POS system says: transports, scanners, the printer relay and receipt readers.

Owns the bytes. Never knows points, members or the network to the centre.
"""
