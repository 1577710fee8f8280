"""A small Hugging Face Hub for tests: a real HTTP server that the unmodified `huggingface_hub` client talks to."""

from .server import HubServer, Request
from .storage import READER, WRITER

__all__ = ["READER", "WRITER", "HubServer", "Request"]
