"""The tests, one folder a room of the house; what they share is in `support`."""
