"""PostgreSQL: connections, named queries and migrations. Nothing here knows what the tables mean."""
