"""Put on the path of a process whose clock shall be wrong by ``CLOCK_SKEW`` seconds: everything that Python asks for the time
gets the wrong one; PostgreSQL and the other processes keep the right one."""

import datetime
import os

import time_machine

_skew = datetime.timedelta(seconds=float(os.environ["CLOCK_SKEW"]))
time_machine.travel(datetime.datetime.now(datetime.UTC) + _skew, tick=True).start()
