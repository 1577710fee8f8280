"""A network as files that other programs run: ONNX, TorchScript, and packages for bioimage.io."""
