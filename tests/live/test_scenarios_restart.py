import pytest

from tests.scenarios.restart import *

pytestmark = pytest.mark.live
