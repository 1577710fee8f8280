"""Image formats: the bytes of a file to native pixels; `images.py` is the way in."""
