-- SPDX-License-Identifier: MIT
-- Arguments: the body, which is JSON.
function init(arguments)
   wrk.method = "POST"
   wrk.body = arguments[1]
   wrk.headers["Content-Type"] = "application/json"
end
