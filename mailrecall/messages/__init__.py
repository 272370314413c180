"""Messages as the control database knows them: acceptance, envelopes, delivery batches."""
