"""Benchmarks of fastnn against NumPy, scikit-learn, PyTorch, JAX, Keras and ONNX Runtime; see README.md."""
