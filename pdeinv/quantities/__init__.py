"""Numbers and maps of a result that follow from its fields, with error bars."""

from pdeinv.quantities.base import PosteriorMap as PosteriorMap
from pdeinv.quantities.base import Quantity as Quantity
from pdeinv.quantities.draws import draws_of as draws_of
from pdeinv.quantities.evaluation import quantity as quantity
from pdeinv.quantities.flux import Flux as Flux
from pdeinv.quantities.intervals import intervals as intervals
from pdeinv.quantities.maps import Exceedance as Exceedance
from pdeinv.quantities.maps import Quantile as Quantile
from pdeinv.quantities.maps import exceedance as exceedance
from pdeinv.quantities.maps import quantile as quantile
from pdeinv.quantities.mean import Mean as Mean
from pdeinv.quantities.table import quantity_lines as quantity_lines
from pdeinv.quantities.table import with_quantities as with_quantities
from pdeinv.quantities.text import parse_quantities as parse_quantities
from pdeinv.quantities.text import parse_quantity as parse_quantity
from pdeinv.quantities.travel import TravelTime as TravelTime
