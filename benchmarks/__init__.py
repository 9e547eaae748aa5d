"""fastlm beside its rivals: `python -m benchmarks` from the checkout, after `pip install ".[bench]"`."""
