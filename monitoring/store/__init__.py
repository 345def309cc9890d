"""The store: records on their way into Elasticsearch, exactly once, and what keeps order there."""
