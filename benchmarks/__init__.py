"""How fast Mail Recall is, measured side by side with what the disk allows and with what one would use instead."""
