"""Work as rows: written with the state it belongs to, published by the relay, deleted when done."""
