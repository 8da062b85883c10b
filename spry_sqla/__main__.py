"""`python -m spry_sqla`: the command line of `cli`."""

from spry_sqla.cli import app

if __name__ == "__main__":
    app(prog_name="spry")
