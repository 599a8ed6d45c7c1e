"""The engine: windows, receptive fields, stitching and the stream that joins them."""
