"""Benchmarks: `python -m benchmarks` measures what leakguard costs; accuracy and recycling have commands of their own."""
