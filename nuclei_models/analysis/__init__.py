"""Label images to numbers: measurements, agreement of two, metrics, and whether an image shows nuclei at all."""
