-- SPDX-License-Identifier: MIT
-- Arguments: the size of the body.
function init(arguments)
   wrk.method = "POST"
   wrk.body = string.rep("x", tonumber(arguments[1]))
   wrk.headers["Content-Type"] = "application/octet-stream"
end
