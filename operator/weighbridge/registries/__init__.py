"""How registries are asked: one adapter per registry behind one small protocol, always called through the guard."""
