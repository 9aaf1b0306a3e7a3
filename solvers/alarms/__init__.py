"""Alarms: whether the readings fit the problem as it is stated, and what would mend it."""

from pdeinv.solvers.alarms.causes import find_causes as find_causes
from pdeinv.solvers.alarms.columns import with_predictions as with_predictions
from pdeinv.solvers.alarms.judge import judge_misfit as judge_misfit
from pdeinv.solvers.alarms.suspects import judge_weights as judge_weights
from pdeinv.solvers.alarms.tests_of_fit import Alarm as Alarm
from pdeinv.solvers.alarms.tests_of_fit import alarm_of as alarm_of
from pdeinv.solvers.alarms.tests_of_fit import find_alarm as find_alarm
