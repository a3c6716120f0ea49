"""What should happen: pure functions from resource, facts and time to a plan. No I/O, no clock, no logging."""
