"""What goes in and out over the API, subject by subject: marshmallow schemas, which refuse unknown fields."""
