# SPDX-License-Identifier: MIT
"""A process that is a master and nothing else: it takes the place of the command's."""

import os
import sys
from typing import NoReturn

from camshaft.log_config import configure_logging
from camshaft.master.master import Master
from camshaft.master.plan import Plan


def start(plan: Plan) -> NoReturn:
    """Become that process: the descriptors of the plan's listeners go along. Does not return."""
    descriptor = plan.write()
    for number in (descriptor, *plan.descriptors):
        os.set_inheritable(number, True)
    sys.stdout.flush()
    sys.stderr.flush()
    command = plan.interpreter.calls("camshaft.master.lean", descriptor, f"master {plan.app}")
    os.execve(command[0], command, plan.interpreter.environment)


def main(descriptor: int) -> None:
    """Be the master of the plan in a file. Exits with its status."""
    plan = Plan.read(descriptor)
    os.close(descriptor)
    for number in plan.descriptors:
        os.set_inheritable(number, False)
    configure_logging(plan.logs)
    sys.exit(Master(plan).run())
