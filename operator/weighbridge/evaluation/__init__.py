"""How models are weighed: the engines, the reporter sidecar and the result contract between them."""
