"""The file that i-PI's ``<pes_path>`` names; everything is in :mod:`les_ipi.driver.serve.pes`."""

from les_ipi.driver.serve.pes import LESDriver

__all__ = ["LESDriver"]

__DRIVER_NAME__ = "les_ipi"
__DRIVER_CLASS__ = "LESDriver"
