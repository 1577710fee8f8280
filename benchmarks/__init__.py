"""How fast the networks are: every contender in a process of its own, in one run on one machine; docs/speed.md."""
