"""The graph of a network: what each operator reads, how a piece of it is computed, receptive fields."""
