"""Model servers of a few lines, a registry that can be switched off, and somebody who watches them: for tests of what serves."""
