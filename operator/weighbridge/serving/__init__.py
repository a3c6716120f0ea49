"""How serving workloads are re-pointed: read the pointer, apply the pointer, judge the rollout, probe the pods."""
