"""The settings of the processor and of the warning, fitted on training and validation images."""
