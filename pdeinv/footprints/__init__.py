"""Readings that are means over a disc or a segment, or differences of two points."""

from pdeinv.footprints.operator import FootprintObservation as FootprintObservation
from pdeinv.footprints.operator import operator_of as operator_of
from pdeinv.footprints.quadrature import QUADRATURE_ERROR as QUADRATURE_ERROR
