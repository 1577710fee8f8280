"""From the Bowl's archives to weights, their figures and their release; run from a clone, never installed."""
