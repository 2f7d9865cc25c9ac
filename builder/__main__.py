"""`python -m builder` is `stillframe`."""

from builder.cli import main

if __name__ == "__main__":
    main()
