"""The cashier page in a real Chromium, against a real register process."""
