"""HTTP: the API, the web pages and live progress."""
