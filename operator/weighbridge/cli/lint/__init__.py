"""`weighbridge lint`: files of our kinds, checked without a cluster."""
