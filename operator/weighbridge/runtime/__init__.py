"""How it runs: watch, queue, reconciler, actions, cluster access, leader election, telemetry."""
