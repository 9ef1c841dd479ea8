import pytest

from tests.scenarios.faults import *

pytestmark = pytest.mark.protocol
