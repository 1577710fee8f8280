"""Weights and a list of images to figures and pictures."""
