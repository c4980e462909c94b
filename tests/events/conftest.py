"""The simulated AWS account of the templates' tests, for what sends events to AWS."""

from tests.templates.conftest import account, moto_endpoint

__all__ = ["account", "moto_endpoint"]
