"""A network loaded, and run fast over images of any size: `segment` and `predict`."""
