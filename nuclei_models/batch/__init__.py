"""Folders of images: what was named, one job an image, records of what is done, and an overview of the whole."""
