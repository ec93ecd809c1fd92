"""The playground: a page at ``/ui`` that calls the service that serves it."""
