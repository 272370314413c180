"""The services of Mail Recall: each is one kind of process, and none imports another."""
