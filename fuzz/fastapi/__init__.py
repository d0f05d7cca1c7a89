# SPDX-License-Identifier: MIT
"""Random FastAPI applications and requests, answered by FastAPI and by our plans: the same?

``python -m fuzz.fastapi --cases N --seed S``. An application is the text of a module (apps.py),
run twice: one of the two is left as it is, into the other a router of ours is put. A request
(asked.py) is given to both as ASGI events, in this process (drive.py). What they do has to be
equal: the events they send, what they raise, and what the functions of the application saw, in
which order, in which task, context and kind of thread. A difference is printed as a module with
one request, with everything taken out that it does not need.

Settled, and so not looked at: the pages that debug=True makes of a traceback, which has the frames
of who called; that the scope has no exit stacks when nothing was entered into them, and nothing of
the middleware for body limits where a plan has looked at Content-Length; and how often somebody
asks for more after http.disconnect.
"""

import os

# logfire's, where that is installed: no plan is made of what a plugin validates.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
