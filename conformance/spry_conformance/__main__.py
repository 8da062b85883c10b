"""`python -m spry_conformance`."""

from spry_conformance.cli import app

app(prog_name="spry-conformance")
