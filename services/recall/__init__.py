"""The way of a recall: plan, withdraw, settle, and the reconciler that republishes what is overdue."""
