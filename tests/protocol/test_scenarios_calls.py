import pytest

from tests.scenarios.calls import *

pytestmark = pytest.mark.protocol
