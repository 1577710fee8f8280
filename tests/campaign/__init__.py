"""The campaign of trust: broken files, crowds, long runs and kills against the library and the page.

`python -m tests.campaign` runs all of it and writes its table into docs/trust.md; see `__main__.py`.
"""
