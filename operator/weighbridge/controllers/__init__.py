"""One file per kind: which events concern it, and how its facts are gathered."""
