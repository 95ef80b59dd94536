"""The serial link: bytes, frames, requests."""
