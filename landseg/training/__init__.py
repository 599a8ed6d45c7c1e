"""Learning from labelled scenes."""
