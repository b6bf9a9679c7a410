"""``python -m leakguard``: the same as the ``leakguard`` command."""

from leakguard.cli import main

if __name__ == "__main__":
    main()
