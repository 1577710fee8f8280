"""Networks trained: images with their truth to crops, to steps, to weights. It needs the extra `[train]`."""
