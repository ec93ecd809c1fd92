"""What tracing a model needs: forms of it that the tracer can follow, and checks of what it wrote."""
