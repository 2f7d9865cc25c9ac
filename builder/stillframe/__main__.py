"""`python -P -m stillframe` is `stillframe`; without -P, Python looks for modules in the working folder first."""

from stillframe.cli.main import main

if __name__ == "__main__":
    main()
