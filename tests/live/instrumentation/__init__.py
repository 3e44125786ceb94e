import pytest

# So that a failed comparison with the truth shows both sides.
pytest.register_assert_rewrite("tests.live.instrumentation.rig")
