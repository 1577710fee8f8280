"""A piece of work: its settings, who does it, and files that are whole or not there."""
