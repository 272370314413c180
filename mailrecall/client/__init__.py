"""A client for programs, built on the public HTTP API alone: `services.gateway` is known here by its document only.

with Client("https://mail.example.org", token) as mail:
    recall = mail.recall(65, "wrong figures")
    for seen in mail.watch(recall.id):
        print(seen.done, "of", seen.recipients)
"""

from mailrecall.client.client import Client
from mailrecall.client.errors import ClientError, ProblemError, UnreachableError
from mailrecall.client.models import Preview, Recall, RecallSummary, Token

__all__ = [
    "Client",
    "ClientError",
    "Preview",
    "ProblemError",
    "Recall",
    "RecallSummary",
    "Token",
    "UnreachableError",
]
