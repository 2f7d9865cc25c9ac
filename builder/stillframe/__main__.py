"""`python -m stillframe` is `stillframe`."""

from stillframe.cli.main import main

if __name__ == "__main__":
    main()
