"""The API's own document, in OpenAPI 3.1, made from the routes, what is declared of them, and their schemas."""
