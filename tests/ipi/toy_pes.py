"""The toy evaluator as i-PI's custom PES."""

import sys
from pathlib import Path

from les_ipi.driver.serve.pes import LESDriver

sys.path.insert(0, str(Path(__file__).parent))

from toy_water import ToyEvaluator

__DRIVER_NAME__ = "toy"
__DRIVER_CLASS__ = "ToyDriver"


class ToyDriver(LESDriver):
    load_evaluator = staticmethod(ToyEvaluator.load)
