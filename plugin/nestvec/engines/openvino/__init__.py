"""OpenVINO in this process: compiling graphs for a CPU, keeping what was compiled, and running batches."""
