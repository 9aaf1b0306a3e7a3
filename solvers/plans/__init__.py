"""Plans: what is found once for a layout of sensors, for many tables of their readings."""

from pdeinv.solvers.plans.plan import Plan as Plan
from pdeinv.solvers.plans.preparation import prepare as prepare
from pdeinv.solvers.plans.storage import load_plan as load_plan
