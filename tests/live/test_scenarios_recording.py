import pytest

from tests.scenarios.recording import *

pytestmark = pytest.mark.live
