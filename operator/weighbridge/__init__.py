"""Weighbridge weighs model versions before they may serve, and keeps registry and cluster telling the same story."""

__version__ = "0.1.0"
