"""Networks compiled for ONNX Runtime, through which rows of a raster stream."""
