"""The command line `weighbridge`, also `kubectl weighbridge`: one module for each command, or for a few alike.

`program.py` is the table of commands, `answers.py` what their answers have in common, `desk.py` and `places.py` the cluster as
somebody at a terminal may ask it.
"""

from .program import main

__all__ = ["main"]
