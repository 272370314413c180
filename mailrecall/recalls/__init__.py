"""Recalls as the control database knows them: requests, batches, counts, states."""
