import pytest

from tests.scenarios.matrix import *

pytestmark = pytest.mark.live
