"""What goes out: cards, README's tables, the Hub, the Space, ONNX."""
