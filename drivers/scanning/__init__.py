"""What a barcode scanner sends, and the drivers that hear it."""
