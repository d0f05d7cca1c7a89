# SPDX-License-Identifier: MIT
raise ZeroDivisionError("at import")
