"""The report service: reads what a recall did and mails the summary."""
