"""Networks by name, and the encoders under them."""
