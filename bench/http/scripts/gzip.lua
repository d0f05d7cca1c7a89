-- SPDX-License-Identifier: MIT
-- As all browsers do.
wrk.headers["Accept-Encoding"] = "gzip, deflate, br"
