import pytest

from tests.scenarios.topology import *

pytestmark = pytest.mark.protocol
