import pytest

from tests.scenarios.frames import *

pytestmark = pytest.mark.protocol
