-- SPDX-License-Identifier: MIT
-- A request of a page from elsewhere.
wrk.headers["Origin"] = "https://games.example"
