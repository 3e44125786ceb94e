"""`python -m observability` is the command `ha-observability`."""

from observability.cli import main

if __name__ == "__main__":
    main()
