"""`python -m nuclei_cli`, the same as `nuclei`."""

from . import main

if __name__ == "__main__":
    main()
